"""Hooks: who is told when a step is done or has failed, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast, final

import attrs

from trio_steps._core.errors import ConfigError
from trio_steps._core.events import ErrorDiscarded, StepFailed
from trio_steps._core.observers import Observers
from trio_steps._core.public import public
from trio_steps._pipeline.call import awaitable
from trio_steps._pipeline.context import Context

from .checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_steps._core.events import Event
    from trio_steps._pipeline.context import Snapshot

    from .loop import Run

CompleteHook: TypeAlias = "Callable[[StepCompletion], object]"
"""What ``on_step_complete=`` takes: a sync or async function of a `StepCompletion`."""

ErrorHook: TypeAlias = "Callable[[str, Exception], object]"
"""What ``on_error=`` takes: a sync or async function of a step's full name and the error."""


@final
@attrs.frozen(kw_only=True)
class Hooks:
    """Who is told, each in its turn."""

    complete: tuple[CompleteHook, ...] = ()
    error: tuple[ErrorHook, ...] = ()

    def plus(self, complete: CompleteHook | None, error: ErrorHook | None) -> Hooks:
        """Return these and, after them, what is not None.

        Raises:
          ConfigError: it is no function.
        """
        if complete is not None and not callable(complete):
            raise ConfigError(f"on_step_complete={complete!r}: give a function of a StepCompletion")
        if error is not None and not callable(error):
            raise ConfigError(
                f"on_error={error!r}: give a function of a step's name and its error; "
                'what is to be done then, such as "continue", is said at the step: .step(…, on_error="continue")'
            )
        return Hooks(
            complete=self.complete if complete is None else (*self.complete, complete),
            error=self.error if error is None else (*self.error, error),
        )


@public
@final
class StepCompletion:
    """A step has ended well; what ``on_step_complete`` is told.

    Attributes:
      name: the full name of the step.
      duration: how long it took, in seconds.
    """

    __slots__ = ("_context", "_entries", "_length", "_run", "_snapshot", "duration", "name")

    def __init__(self, run: Run, name: str, duration: float, snapshot: Snapshot) -> None:
        self.name: str = name
        self.duration: float = duration
        self._run = run
        self._snapshot = snapshot
        self._entries = run.journal.entries
        self._length = len(self._entries)
        self._context: Context | None = None

    def __repr__(self) -> str:
        return f"<StepCompletion of {self.name!r} in {self.duration:g} s>"

    @property
    def context(self) -> Context:
        """The context after the step, as the next one will see it."""
        if self._context is None:
            self._context = Context(self._snapshot, self._run.program.share)
        return self._context

    @property
    def checkpoint(self) -> Checkpoint:
        """What the run can be resumed from, right after this step; inside a race, from before the race."""
        program = self._run.program
        return Checkpoint(program.name, program.steps, self._entries, self._length, program.codec)

    @property
    def stopped(self) -> bool:
        """Whether somebody has told the run to stop, after this step or another one."""
        return self._run.stopped

    def stop(self) -> None:
        """End the run after this step; it returns the context that there is then."""
        self._run.stopped = True


@final
class HookFailedError(BaseException):
    """Carries the `error` that a hook raised out of the run: no policy of a step may forgive that."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error

    def __repr__(self) -> str:
        return repr(self.error)


def without_carriers(observers: Observers | None) -> Observers | None:
    """Return `observers` for a run with hooks: if one fails, they see its own error, and not what carries that."""
    return None if observers is None else Observers((), observers, _without_carrier)


def _without_carrier(event: Event) -> Event:
    if isinstance(event, (StepFailed, ErrorDiscarded)) and isinstance(event.error, HookFailedError):
        return attrs.evolve(event, error=event.error.error)
    return event


async def tell(hook: Callable[..., object], *args: object) -> None:
    """Call a hook, and await it if it is async.

    Raises:
      HookFailedError: it raised an error.
    """
    try:
        result = hook(*args)
        if awaitable(result):
            await cast("Awaitable[object]", result)
    except Exception as error:
        raise HookFailedError(error) from error
