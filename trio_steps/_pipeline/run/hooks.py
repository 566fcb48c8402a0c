"""Hooks: the functions that are called when a step is done or has failed, and their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast, final

import attrs
import trio

from trio_steps._core.errors import exc_info, hide_frames_of_ours
from trio_steps._core.events.observers import Observers, are_one, logger
from trio_steps._core.events.records import ErrorDiscarded, StepFailed
from trio_steps._core.public import public
from trio_steps._core.results import ForkPartialError
from trio_steps._pipeline.call import awaitable
from trio_steps._pipeline.context import Context

from .checkpoint import Checkpoint
from .typed import codec_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_steps._core.events.records import Event
    from trio_steps._core.scope import Scope
    from trio_steps._pipeline.context import Snapshot
    from trio_steps._pipeline.definition import Hook, Hooks, Program

    from .journal import Journal
    from .keeping import Keeper

CompleteHook: TypeAlias = "Callable[[StepCompletion], object]"
"""The type of ``on_step_complete=``: a sync or async function of a `StepCompletion`."""

ErrorHook: TypeAlias = "Callable[[str, Exception], object]"
"""The type of ``on_error=``: a sync or async function of a step's full name and the error."""


@final
@attrs.frozen(kw_only=True)
class Audience:
    """The hooks that are told what happens in a row of steps, and whether it is recorded.

    Attributes:
      complete: the hooks that are told what is done, those of the innermost pipeline first.
      error: the hooks that are told what has failed, in the same order.
      record: whether what is done goes into the journal.
      tells: whether a hook or a keeper is told what is done.
    """

    complete: tuple[Hook, ...]
    error: tuple[Hook, ...]
    record: bool
    tells: bool

    def within(self, hooks: Hooks) -> Audience:
        """Return the audience of a pipeline inside, which has its own `hooks`."""
        if not (hooks.complete or hooks.error):
            return self
        return Audience(
            complete=_before(hooks.complete, self.complete),
            error=_before(hooks.error, self.error),
            record=self.record,
            tells=self.tells or bool(hooks.complete),
        )

    def unrecorded(self) -> Audience:
        """Return the audience of steps that leave no trace in the journal."""
        return attrs.evolve(self, record=False) if self.record else self


def _before(inner: tuple[Hook, ...], outer: tuple[Hook, ...]) -> tuple[Hook, ...]:
    return (*inner, *(hook for hook in outer if not any(are_one(hook, other) for other in inner)))


@final
class Reporter:
    """Tells hooks what happens in one run, and lets them stop it.

    Attributes:
      program: the pipeline that is run.
      journal: what is done.
      keeper: keeps the run; it is told before any hook.
      stopped: whether ``stop()`` was called; then no more steps are started.
    """

    __slots__ = ("_prefix", "_reported", "journal", "keeper", "program", "stopped")

    def __init__(self, program: Program, journal: Journal, prefix: str, keeper: Keeper | None = None) -> None:
        """Put `prefix`, the name of what the run is inside of, in front of all names."""
        self.program: Program = program
        self.journal: Journal = journal
        self.keeper: Keeper | None = keeper
        self.stopped: bool = False
        self._prefix = prefix
        # by id, with the error itself to keep the id valid: the step that it came from, and the steps around that
        self._reported: dict[int, tuple[Exception, set[str]]] = {}

    def check(self) -> None:
        """Let a step begin, unless another process may have taken the run over."""
        if self.keeper is not None:
            try:
                self.keeper.check()
            except Exception as error:
                raise HookFailedError(error) from error

    async def completed(self, audience: Audience, name: str, start: float, snapshot: Snapshot) -> None:
        """Tell that the step `name`, which began at `start`, is done."""
        if self.keeper is not None:
            await tell(self.keeper.save, name)
        if not audience.complete:
            return
        event = StepCompletion(self, self._prefix + name, trio.current_time() - start, snapshot)
        for hook in audience.complete:
            await trio.lowlevel.checkpoint_if_cancelled()  # the hook before may have cancelled the run
            await tell(hook, event)

    def why_not_done(self) -> str:
        """Return why a step that has not failed is not done."""
        waits = self.keeper is not None and self.keeper.waits and not self.stopped
        return "it waits for an answer" if waits else "the run was stopped"

    async def kept(self, audience: Audience) -> None:
        """Save what was recorded last, before anything follows from it."""
        if self.keeper is not None and audience.record:
            await tell(self.keeper.save)

    async def failed(self, audience: Audience, name: str, error: Exception) -> None:
        """Tell that `error` happened in the step `name`, unless that step or one inside it has already told."""
        if audience.error and not self._is_reported(name, error):
            # an error can come out of more than one step, for example if it is raised again
            _, names = self._reported.setdefault(id(error), (error, set()))
            around = name
            while around:
                names.add(around)
                around = around.rpartition("/")[0]
            for hook in audience.error:
                await tell(hook, self._prefix + name, error)

    def _is_reported(self, name: str, error: Exception) -> bool:
        if id(error) in self._reported and name in self._reported[id(error)][1]:
            return True
        return isinstance(error, ForkPartialError) and all(
            self._is_reported(name, inner) for inner in cast("ForkPartialError[Exception]", error).exceptions
        )

    def forget(self, prefix: str) -> None:
        """Forget errors of steps whose names begin with `prefix`, which are retried and may fail with the same ones."""
        for _, names in self._reported.values():
            names.difference_update([name for name in names if name.startswith(prefix)])


@public
@final
class StepCompletion:
    """The argument of ``on_step_complete``: a step that has succeeded.

    Attributes:
      name: the full name of the step.
      duration: how long it took, in seconds.
    """

    __slots__ = ("_context", "_entries", "_length", "_reporter", "_snapshot", "duration", "name")

    def __init__(self, reporter: Reporter, name: str, duration: float, snapshot: Snapshot) -> None:
        self.name: str = name
        self.duration: float = duration
        self._reporter = reporter
        self._snapshot = snapshot
        self._entries = reporter.journal.entries
        self._length = len(self._entries)
        self._context: Context | None = None

    def __repr__(self) -> str:
        return f"<StepCompletion of {self.name!r} in {self.duration:g} s>"

    @property
    def context(self) -> Context:
        """The context after the step, as the next one will see it."""
        if self._context is None:
            self._context = Context(self._snapshot, self._reporter.program.share)
        return self._context

    @property
    def checkpoint(self) -> Checkpoint:
        """A checkpoint from which the run can be resumed right after this step; inside a race, before the race."""
        program = self._reporter.program
        return Checkpoint(program.name, program.steps, self._entries, self._length, codec_of(program))

    @property
    def stopped(self) -> bool:
        """Whether the run has been told to stop, after this step or another one."""
        return self._reporter.stopped

    def stop(self) -> None:
        """End the run after this step. It returns the context as it is then."""
        self._reporter.stopped = True


@final
class HookFailedError(BaseException):
    """Carries the `error` that a hook raised out of the run. No policy of a step may forgive it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error

    def __repr__(self) -> str:
        return repr(self.error)


def forgiven(error: Exception, scope: Scope, audience: Audience, log: bool) -> None:
    """Log `error`, a forgiven failure of the step of `scope`, unless a hook or an observer was told of it."""
    if log and not audience.error and scope.observers is None:
        hide_frames_of_ours(error)
        logger.warning("%s failed, and the run continues without it", scope.name, exc_info=exc_info(error))


def without_carriers(observers: Observers | None) -> Observers | None:
    """Return `observers` for a run with hooks: if a hook fails, they see its own error, not the carrier."""
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
