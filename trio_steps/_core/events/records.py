"""What a run tells its observers: one frozen record for each event.

Problem: the records are read, compared and printed like any class of attrs. Most programs make none of them, and
everyone who imports the library pays for their classes.

Naive answer: let attrs write the methods of each class. It compiles their source when the class is made. For fourteen
records that was a third of the time that the library takes to import.

What is done instead. What compares and prints a record is written once, for all of them. attrs writes only how a record
is made, because that has to be fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from reprlib import recursive_repr
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

    def _compared(self) -> tuple[object, ...]:
        return tuple(getattr(self, field.name) for field in attrs.fields(type(self)) if field.eq)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event) or type(other) is not type(self):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((type(self), self._compared()))

    @recursive_repr()
    def __repr__(self) -> str:
        shown = ((field, getattr(self, field.name)) for field in attrs.fields(type(self)) if field.repr)
        texts = (f"{field.name}={(field.repr if callable(field.repr) else repr)(value)}" for field, value in shown)
        return f"{type(self).__name__}({', '.join(texts)})"


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
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
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepSucceeded(Event):
    """A step returned, `duration` seconds after it started; `won` tells whether that won a race."""

    duration: float
    won: bool = attrs.field(default=False, repr=False)


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepFailed(Event):
    """A step raised `error`, `duration` seconds after it started."""

    duration: float
    error: BaseException = attrs.field(repr=short_repr)


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepCancelled(Event):
    """A step was cancelled, `duration` seconds after it started, because of `reason`."""

    duration: float
    reason: str


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepSkipped(Event):
    """A step did not run, because of `reason`; `in_pipeline` is that of `StepStarted`."""

    reason: str
    in_pipeline: bool = attrs.field(default=False, repr=False)


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepRetrying(Event):
    """Attempt number `attempt` (the first is 1) raised `error`; the next begins in `delay` seconds."""

    attempt: int
    error: Exception = attrs.field(repr=short_repr)
    delay: float


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class AttemptStarted(Event):
    """A step with policies begins attempt number `attempt`; the first is 1. Without policies, its run is the attempt.

    It comes when all waiting is over: the step has its token and its permit, and its circuit breaker let it through.
    """

    attempt: int


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
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
@attrs.frozen(kw_only=True, eq=False, repr=False)
class LimitWaited(Event):
    """A step waited `duration` seconds for a token of its limiter, or a permit of its rate, until it got one.

    `limit` tells which it was. There is no such event if the step did not have to wait.
    """

    limit: Literal["limiter", "rate"]
    duration: float


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class CircuitChanged(Event):
    """An attempt of a step opened or closed its circuit breaker, which other steps may share."""

    state: Literal["closed", "open"]


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class PathsCounted(Event):
    """A fork knows that it has `total` paths: at its start, or when a lazy source has run dry."""

    total: int


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class ValueDiscarded(Event):
    """A path returned `value`, but no one receives it. `disposed` tells whether the fork's ``dispose`` does."""

    value: object = attrs.field(repr=short_repr)
    disposed: bool


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class ErrorDiscarded(Event):
    """A path (or ``dispose``) raised `error`, but the outcome of the fork is another one."""

    error: BaseException = attrs.field(repr=short_repr)


@public
@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
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
        raise ConfigError(f"observers={short_repr(given)}: give them in a list, observers=[…]")
    observers = tuple(given)
    for observer in observers:
        check_sync(
            lambda: f"observers={short_repr(given)}: {short_repr(observer)}",  # noqa: B023 - it is called at once
            observer,
            "a sync function of an event, such as a Recorder()",
        )
    return observers


def quietly(observers: Observers) -> Observers:
    """Return `observers` for a step with ``log=False``: they get its events marked as quiet.

    Runs inside the step do not see them, so an observer that is also given to such a run gets its events unmarked too.
    """
    return Observers((lambda event: observers(attrs.evolve(event, quiet=True)),))
