"""What a run needs from its keeper: to save what is done, and to know what was answered.

A run that is not kept anywhere only has the answers that came with its start.
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
      stopped: it was stopped.
    """

    stopped: bool

    @property
    def journal(self) -> Journal: ...


class Keeper(Protocol):
    """Keeps a run as it goes.

    Attributes:
      waits: a question is open, so that the run can't come to its end.
      keeps: what is done is saved, so that it has to be recorded.
    """

    @property
    def waits(self) -> bool: ...

    @property
    def keeps(self) -> bool: ...

    def follow(self, course: Course) -> None:
        """Take `course` as what the run does from now on."""
        ...

    def check(self) -> None:
        """Return if a step may start.

        Raises:
          RunClaimedError: another process may have taken the run over.
        """
        ...

    async def save(self, done: str | None = None) -> None:
        """Save what the journal has; `done` is the full name of the step that was done last."""
        ...

    async def ask(self, name: str, seconds: float | None) -> Answer | None:
        """Return the answer that the step `name` waits for; None if there is none yet: then the question is open.

        Raises:
          TimeoutError: no one has answered within `seconds` of the first time that it was asked.
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
