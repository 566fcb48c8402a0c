"""What a run tells its observers: one frozen record for each event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, final

import attrs

from trio_steps._core.checks import check_sync
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.public import public

from .observers import Observers

if TYPE_CHECKING:
    from trio_steps._core.scope import Scope


@public
@attrs.frozen(kw_only=True)
class Event:
    """Something happened to a step.

    Attributes:
      name: the step's full name, such as ``"gather-research/academic"``.
      time: ``trio.current_time()`` when it happened, in seconds.
      scope: the run of the step, the same object in all events of that run; or that of the fork around it, if the step
        never started or is over. It distinguishes runs with the same name. Its `parent` is the scope around it.
      quiet: it happened in a step with ``log=False``, and is to be kept out of logs and summaries.
    """

    name: str
    time: float
    scope: Scope = attrs.field(eq=False, repr=False)
    quiet: bool = attrs.field(default=False, repr=False)


@public
@final
@attrs.frozen(kw_only=True)
class StepStarted(Event):
    """A step began to run.

    `in_pipeline` tells whether it is a step of a pipeline, and `parallel` whether it is a parallel step, whose members
    are steps of the pipeline too. The steps of a pipeline are few, because each is written in the source. Paths can be
    any number.
    """

    in_pipeline: bool = attrs.field(default=False, repr=False)
    parallel: bool = attrs.field(default=False, repr=False)


@public
@final
@attrs.frozen(kw_only=True)
class StepSucceeded(Event):
    """A step returned, `duration` seconds after it started; `won` tells whether that won a race."""

    duration: float
    won: bool = attrs.field(default=False, repr=False)


@public
@final
@attrs.frozen(kw_only=True)
class StepFailed(Event):
    """A step raised `error`, `duration` seconds after it started."""

    duration: float
    error: BaseException = attrs.field(repr=short_repr)


@public
@final
@attrs.frozen(kw_only=True)
class StepCancelled(Event):
    """A step was cancelled, `duration` seconds after it started, because of `reason`."""

    duration: float
    reason: str


@public
@final
@attrs.frozen(kw_only=True)
class StepSkipped(Event):
    """A step did not run, because of `reason`; `in_pipeline` is that of `StepStarted`."""

    reason: str
    in_pipeline: bool = attrs.field(default=False, repr=False)


@public
@final
@attrs.frozen(kw_only=True)
class StepRetrying(Event):
    """Attempt number `attempt` (the first is 1) raised `error`; the next begins in `delay` seconds."""

    attempt: int
    error: Exception = attrs.field(repr=short_repr)
    delay: float


@public
@final
@attrs.frozen(kw_only=True)
class AttemptStarted(Event):
    """A step with policies begins attempt number `attempt`; the first is 1. Without policies, its run is the attempt.

    It comes when all waiting is over: the step has its token and its permit, and its circuit breaker let it through.
    """

    attempt: int


@public
@final
@attrs.frozen(kw_only=True)
class AttemptEnded(Event):
    """Attempt number `attempt` is over, `duration` seconds after it started.

    `status` tells how it ended. If it failed, `error` is what it raised. An attempt whose value ``accept=`` refused, or
    that was too late for ``timeout=``, has failed too. If there is another attempt, a `StepRetrying` comes next.
    """

    attempt: int
    duration: float
    status: Literal["succeeded", "failed", "cancelled"]
    error: BaseException | None = attrs.field(default=None, repr=short_repr)


@public
@final
@attrs.frozen(kw_only=True)
class LimitWaited(Event):
    """A step waited `duration` seconds for a token of its limiter, or a permit of its rate, until it got one.

    `limit` tells which it was. There is no such event if the step did not have to wait.
    """

    limit: Literal["limiter", "rate"]
    duration: float


@public
@final
@attrs.frozen(kw_only=True)
class CircuitChanged(Event):
    """An attempt of a step opened or closed its circuit breaker, which other steps may share."""

    state: Literal["closed", "open"]


@public
@final
@attrs.frozen(kw_only=True)
class PathsCounted(Event):
    """A fork knows that it has `total` paths: at its start, or when a lazy source has run dry."""

    total: int


@public
@final
@attrs.frozen(kw_only=True)
class ValueDiscarded(Event):
    """A path returned `value`, but no one receives it. `disposed` tells whether the fork's ``dispose`` does."""

    value: object = attrs.field(repr=short_repr)
    disposed: bool


@public
@final
@attrs.frozen(kw_only=True)
class ErrorDiscarded(Event):
    """A path (or ``dispose``) raised `error`, but the outcome of the fork is another one."""

    error: BaseException = attrs.field(repr=short_repr)


@public
@final
@attrs.frozen(kw_only=True)
class KeyOverridden(Event):
    """Under ``merge_policy="warn"``, the value that `second` gave for `key` replaced the value of `first`."""

    key: str
    first: str
    second: str


Observer: TypeAlias = Callable[[Event], object]
"""Any sync function of an `Event`. It is called at once and must not block."""


def observers_of(given: Iterable[Observer]) -> tuple[Observer, ...]:
    """Return the observers that were given.

    Raises:
      ConfigError: `given` is not iterable, or an observer is not a sync function.
    """
    if given == ():  # the common case
        return ()
    if not isinstance(cast("object", given), Iterable):
        raise ConfigError(f"observers={given!r}: give them in a list, observers=[…]")
    observers = tuple(given)
    for observer in observers:
        check_sync(f"observers={given!r}: {observer!r}", observer, "a sync function of an event, such as a Recorder()")
    return observers


def quietly(observers: Observers) -> Observers:
    """Return `observers` for a step with ``log=False``: they get its events marked as quiet.

    Runs inside the step do not see them, so an observer that is also given to such a run gets its events unmarked too.
    """
    return Observers((lambda event: observers(attrs.evolve(event, quiet=True)),))
