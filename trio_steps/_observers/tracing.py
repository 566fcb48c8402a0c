"""Tracing with OpenTelemetry: each run of a step is a span, and so is each attempt of a step with policies.

Problem: report to a program's own tracing what ran inside what, for how long, and how it ended, so that the spans of
its code and its libraries nest under the step in which they were made.

Naive answer: keep a span for each name, and make it the child of the name's parent. But names repeat, runs overlap, and
the program's own spans have no place in that tree.

What is done instead. The first event of a step comes in the task that is about to run its body. The last event comes in
the same task, however the step ends, and so do the events of attempts. So between the two, the span is attached to
OpenTelemetry's context, as ``tracer.start_as_current_span`` would do. That context is a context variable, which Trio
passes on to tasks and threads. The parent of a span is therefore the current span: the span of the step around it, of
its attempt, or one that the code of that step opened. Detaching restores the previous value, even if the body left
another context attached. So a worker that runs one path after another starts each path with a clean context.
"""

from __future__ import annotations

from contextlib import suppress
from time import time_ns
from typing import TYPE_CHECKING, Final, cast, final
from weakref import WeakKeyDictionary, ref

import attrs
import trio
from opentelemetry import context as contexts
from opentelemetry import trace

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.events.observers import logger
from trio_steps._core.events.records import (
    AttemptEnded,
    AttemptStarted,
    CircuitChanged,
    ErrorDiscarded,
    Event,
    KeyOverridden,
    LimitWaited,
    PathsCounted,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
)
from trio_steps._core.public import public_in

from .rows import message

if TYPE_CHECKING:
    from contextvars import Token

    from trio_steps._core.scope import Scope

_TRACED: Final = contexts.create_key("trio_steps.scope")  # in OpenTelemetry's context: the scope of the span


@final
@attrs.define(eq=False)
class _Open:
    """A span that has not ended."""

    name: str
    span: trace.Span
    token: Token[contexts.Context]
    epoch: int  # the wall clock when Trio's clock would have been 0, in nanoseconds
    skipped: int = 0  # paths that never started
    attempt: _Open | None = None


@public_in("trio_steps.otel")
@final
class Tracing:
    """An observer that makes an OpenTelemetry span for each run of a step: ``observers=[Tracing()]``.

    The parent of a span is the span that was current where the step was called or its path was started: the span of
    the step around it, one that the code of that step opened, or, for the outermost step, the caller's. While a step
    runs, its own span is the current one, also in the tasks and threads that it starts. Steps with ``log=False`` have
    no span.

    A span has the id of the step as its name, without the number of paths that share an id: ``fetch#2`` is a ``fetch``.
    A path whose id is just a number, such as an element of a ``for_each`` named ``resize``, is a ``resize path``. An
    error sets the status of the span and is recorded; a cancellation does not. Retries and discarded values are events
    of a span. A race links to its winner. ``docs/tracing.md`` lists the attributes.

    Each attempt of a step with policies is a span inside the span of the step, and is the current one while it runs. So
    a trace shows how long a step waited for a limiter or for the next attempt, and how long it worked.

    Durations are measured by Trio's clock, to the nanosecond. The wall clock is read once for each outermost step. If
    the wall clock is adjusted during a very long run, spans made by other code may seem to be off by that much.

    One object can observe any number of runs, also at the same time. If a run inside another one has a `Tracing` too,
    the outer one makes the spans. A million paths make a million spans, unless a sampler drops them.

    Args:
      tracer: makes the spans; by default ``opentelemetry.trace.get_tracer("trio_steps")``.
    """

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        if tracer is not None and not isinstance(cast("object", tracer), trace.Tracer):
            raise ConfigError(
                f"Tracing({short_repr(tracer)}): give a tracer of OpenTelemetry, trace.get_tracer(…), or None"
            )
        self._tracer = trace.get_tracer("trio_steps") if tracer is None else tracer
        # Weak: the end of a step is never reported if Trio itself crashes.
        self._open: WeakKeyDictionary[Scope, _Open] = WeakKeyDictionary()
        self._last: ref[Event] | None = None  # it comes again if this observes a run and a run inside it

    @trio.lowlevel.enable_ki_protection  # Ctrl-C must not come between the start of a span and its entry here
    def __call__(self, event: Event) -> None:
        """Handle the next event of a run."""
        if event.quiet or (self._last is not None and self._last() is event):
            return
        self._last = ref(event)
        try:
            self._take(event)
        except Exception:  # noqa: BLE001 - from a sampler or span processor; raising would leave other spans open
            logger.exception("tracing %r failed", event)

    def _take(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._start(event)
            return
        own = self._open.get(event.scope)
        found = self._around(event.scope) if own is None and isinstance(event, StepSkipped) else own
        if found is None:  # another Tracing made it
            return
        now = found.epoch + _nanoseconds(event.time)
        if isinstance(event, PathsCounted):
            found.span.set_attribute("trio_steps.fork.path_count", event.total)
        elif isinstance(event, (StepSucceeded, StepFailed, StepCancelled)):
            self._end(event, found, now)
        elif isinstance(event, AttemptStarted):
            self._start_attempt(event, found, now)
        elif isinstance(event, AttemptEnded):
            _end_attempt(found, now, event.status, event.error)
        elif own is None or not isinstance(event, StepSkipped):
            _add_event(event, found.span, now)
        elif event.name == found.name:  # it was refused after it had started
            self._end(event, found, now)
        else:  # a queued path; there may be a million of them
            found.skipped += 1

    def _around(self, scope: Scope | None) -> _Open | None:
        """Return the span of `scope`, or of the nearest scope around it that has one."""
        while scope is not None:
            found = self._open.get(scope)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def _start(self, event: StepStarted) -> None:
        scope = event.scope
        if contexts.get_value(_TRACED) is scope:
            return  # another Tracing made it
        around = self._around(scope.parent)
        epoch = time_ns() - _nanoseconds(trio.current_time()) if around is None else around.epoch
        span = self._tracer.start_span(
            kind_of_step(scope),
            attributes={"trio_steps.step.id": scope.id, "trio_steps.step.name": event.name},
            start_time=epoch + _nanoseconds(event.time),
        )
        token = contexts.attach(contexts.set_value(_TRACED, scope, trace.set_span_in_context(span)))
        self._open[scope] = _Open(event.name, span, token, epoch)

    def _start_attempt(self, event: AttemptStarted, step: _Open, now: int) -> None:
        name = kind_of_step(event.scope)
        attributes: dict[str, str | int] = {
            "trio_steps.step.name": event.name,
            "trio_steps.attempt.number": event.attempt,
        }
        span = self._tracer.start_span(f"{name} attempt", attributes=attributes, start_time=now)
        token = contexts.attach(trace.set_span_in_context(span))
        step.attempt = _Open(event.name, span, token, step.epoch)

    def _end(self, event: StepSucceeded | StepFailed | StepCancelled | StepSkipped, ended: _Open, now: int) -> None:
        span = ended.span
        del self._open[event.scope]
        _end_attempt(ended, now, "cancelled", None)  # usually it has ended
        contexts.detach(ended.token)
        if ended.skipped:
            span.set_attribute("trio_steps.fork.skipped_path_count", ended.skipped)
        if isinstance(event, StepSucceeded):
            outcome = "succeeded"
            fork = self._around(event.scope.parent) if event.won else None
            if fork is not None:
                winner = {"trio_steps.fork.winner": event.scope.id}
                fork.span.set_attributes(winner)
                fork.span.add_link(span.get_span_context(), winner)
        elif isinstance(event, StepFailed):
            outcome = "failed"
            _set_error(span, event.error, now)
        else:
            outcome = "cancelled" if isinstance(event, StepCancelled) else "skipped"
            span.set_attribute("trio_steps.step.reason", event.reason)
        span.set_attribute("trio_steps.step.outcome", outcome)
        span.end(now)


def _end_attempt(step: _Open, now: int, outcome: str, error: BaseException | None) -> None:
    """End the span of the attempt that is running, if there is one."""
    attempt, step.attempt = step.attempt, None
    if attempt is None:
        return
    contexts.detach(attempt.token)
    if error is not None:
        _set_error(attempt.span, error, now)
    attempt.span.set_attribute("trio_steps.attempt.outcome", outcome)
    attempt.span.end(now)


def _set_error(span: trace.Span, error: BaseException, now: int) -> None:
    span.set_attribute("error.type", type_name(error))
    span.set_status(trace.StatusCode.ERROR, message(error))
    with suppress(Exception):  # the error's __str__ may raise; then the status has to do
        span.record_exception(error, timestamp=now)


def _add_event(event: Event, span: trace.Span, now: int) -> None:
    """Add `event` to `span`."""
    name: str
    attributes: dict[str, str | int | float] = {"trio_steps.step.name": event.name}
    if isinstance(event, (StepRetrying, ErrorDiscarded)):
        attributes["exception.type"] = type_name(event.error)
        attributes["exception.message"] = message(event.error)
    if isinstance(event, StepRetrying):
        name = "trio_steps.step.retrying"
        attributes["trio_steps.retry.attempt"] = event.attempt
        attributes["trio_steps.retry.delay"] = event.delay
    elif isinstance(event, ErrorDiscarded):
        name = "trio_steps.error.discarded"
    elif isinstance(event, ValueDiscarded):
        name = "trio_steps.value.discarded"
        attributes["trio_steps.value.type"] = type_name(event.value)
        attributes["trio_steps.value.disposed"] = event.disposed
    elif isinstance(event, KeyOverridden):
        name = "trio_steps.key.overridden"
        attributes["trio_steps.key.name"] = event.key
        attributes["trio_steps.key.first_source"] = event.first
        attributes["trio_steps.key.second_source"] = event.second
    elif isinstance(event, LimitWaited):
        name = "trio_steps.limit.waited"
        attributes["trio_steps.limit.kind"] = event.limit
        attributes["trio_steps.limit.duration"] = event.duration
    elif isinstance(event, CircuitChanged):
        name = f"trio_steps.circuit.{'opened' if event.state == 'open' else event.state}"
    elif isinstance(event, StepSkipped):
        name = "trio_steps.step.skipped"
        attributes["trio_steps.step.reason"] = event.reason
    else:
        return
    span.add_event(name, attributes, now)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def kind_of_step(scope: Scope) -> str:
    """Return the common name of all runs of this step, by which backends group spans and metrics."""
    return kind_of_path(scope.id, scope.parent)


def kind_of_path(id: str, around: Scope | None) -> str:
    """Return the common name of all paths like `id` in the fork `around`, without numbers."""
    if id.isdecimal() and around is not None:
        return f"{around.id} path"
    base, _, number = id.rpartition("#")
    return base if base and number.isdecimal() else id


def type_name(value: object) -> str:
    """Return the name of a value's type, as the SDK writes the types of exceptions."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
