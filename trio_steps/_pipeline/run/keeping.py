"""What a run needs from its keeper: to save what is done, and to know what was answered.

A run that is not kept anywhere has only the answers that it was started with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from trio_steps._core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .journal import Journal


class Course(Protocol):
    """The progress of a run.

    Attributes:
      journal: what is done.
      stopped: whether it was stopped.
    """

    stopped: bool

    @property
    def journal(self) -> Journal: ...


class Keeper(Protocol):
    """Keeps a run as it goes.

    Attributes:
      waits: whether a question is open, so that the run can't finish.
      keeps: whether what is done is saved, and so has to be recorded.
    """

    @property
    def waits(self) -> bool: ...

    @property
    def keeps(self) -> bool: ...

    def follow(self, course: Course) -> None:
        """Follow `course`, the progress of the run."""
        ...

    def check(self) -> None:
        """Return if a step may start.

        Raises:
          RunClaimedError: another process may have taken the run over.
        """
        ...

    async def save(self, done: str | None = None) -> None:
        """Save the journal. `done` is the full name of the step that was done last."""
        ...

    async def ask(self, name: str, seconds: float | None) -> Answer | None:
        """Return the answer that the step `name` waits for; None if it has none yet, which leaves the question open.

        Raises:
          TimeoutError: `seconds` have passed since the question was first asked, without an answer.
        """
        ...


@final
class Answer:
    """An answer, which may be None.

    Attributes:
      value: the answer.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Answers:
    """The keeper of a run that is not kept, but was given answers at its start."""

    waits: bool = False
    keeps: bool = False

    def __init__(self, answers: Mapping[str, object]) -> None:
        self._answers = answers

    def follow(self, course: Course) -> None:
        """There is nothing to do."""

    def check(self) -> None:
        """There is nothing to do."""

    async def save(self, done: str | None = None) -> None:
        """There is nothing to do."""

    async def ask(self, name: str, seconds: float | None) -> Answer | None:  # noqa: ARG002 - the time is over at once
        """Return the answer."""
        if name not in self._answers:
            raise ConfigError(
                f"{name!r} waits for an answer, and this run is not kept until there is one: give it a store, "
                f"run(…, store=…, run_id=…), or the answer, run(…, answers={{{name!r}: …}})"
            )
        return Answer(self._answers[name])
