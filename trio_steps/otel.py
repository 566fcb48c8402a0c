"""Tracing with OpenTelemetry: each run of a step is a span. It needs the extra ``trio_steps[otel]``.

Problem: say in the terms of the tracing that people already have who ran inside what, for how long, and how it ended,
so that the spans of their own code and of their libraries nest under the step that they were made in.

Naive answer: keep a span for each name, and make it the child of the name's parent. Names repeat, runs overlap, and
nobody's own spans have a place in that tree.

What is done instead. A step's first event comes in the task that is about to run its body, and its last event in the
same task, however it ends: see `trio_steps._step`, and `_run_path` in `trio_steps._engine`. So the span is attached to
OpenTelemetry's context in between, as ``tracer.start_as_current_span`` would do. That context is a context variable;
Trio hands it to tasks and threads. The parent of a span is therefore just the current span: the step around it, or
what the code of that step has opened itself. To detach puts back the very value that was there before, also when the
body has left a context of its own attached, so a worker that runs one path after another starts each as clean.

What is deliberately not done: a span for each attempt. There is no event when one begins; the attempts that failed are
events of the step's span.
"""

from __future__ import annotations

from contextlib import suppress
from time import time_ns
from typing import TYPE_CHECKING, Final, final
from weakref import WeakKeyDictionary, ref

import attrs
import trio
from opentelemetry import context as contexts
from opentelemetry import trace

from ._core.events import (
    ErrorDiscarded,
    Event,
    KeyOverridden,
    PathsCounted,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
)
from ._core.observers import logger
from ._observers.rows import message

if TYPE_CHECKING:
    from contextvars import Token

    from ._core.scope import Scope

__all__ = ["Tracing"]

_TRACED: Final = contexts.create_key("trio_steps.scope")  # in OpenTelemetry's context: the scope that it is of


@final
@attrs.define(eq=False)
class _Open:
    """A span that has not ended."""

    name: str
    span: trace.Span
    token: Token[contexts.Context]
    epoch: int  # when Trio's clock would have been at 0: nanoseconds of the wall clock
    skipped: int = 0  # paths that were never started


@final
class Tracing:
    """An observer that makes an OpenTelemetry span of each run of a step: ``observers=[Tracing()]``.

    A span is the child of what was the current span where the step was called or its path was started: the span of
    the step around it, one of the user's own inside that, or, for the outermost step, the caller's. While a step
    runs, its own span is the current one: also in the tasks and threads that it starts. Steps with ``log=False`` have
    none.

    Spans are named after the step's id, without the number of paths that share one: ``fetch#2`` is a ``fetch``. A path
    that is but a number, such as an element that a ``for_each`` named ``resize`` takes, is a ``resize path``. An error
    makes the status of the span an error, and is recorded; a cancellation does not. Retries, and what is discarded, are
    events of a span. A race has a link to its winner. The attributes are listed in ``docs/tracing.md``.

    Durations are those of Trio's clock, to the nanosecond. The wall clock is read once for each outermost step, so
    spans that others make in a very long run may seem to be off by what the wall clock was adjusted meanwhile.

    One object can observe any number of runs, one after the other and at the same time. If a run inside another one
    has a `Tracing` too, the outer one makes the spans. A million paths make a million spans, unless a sampler says no.

    Args:
      tracer: makes the spans; by default ``opentelemetry.trace.get_tracer("trio_steps")``.
    """

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self._tracer = trace.get_tracer("trio_steps") if tracer is None else tracer
        # weak: should the end of a step never be told, then because Trio itself has crashed
        self._open: WeakKeyDictionary[Scope, _Open] = WeakKeyDictionary()
        self._last: ref[Event] | None = None  # it comes again if this observes a run and one inside that

    @trio.lowlevel.enable_ki_protection  # or Ctrl-C could come between a span's start and its place in the books
    def __call__(self, event: Event) -> None:
        """Take the next event of a run."""
        if event.quiet or (self._last is not None and self._last() is event):
            return
        self._last = ref(event)
        try:
            self._take(event)
        except Exception:  # noqa: BLE001 - of a sampler or span processor; to be dropped would leave other spans open
            logger.exception("tracing %r failed", event)

    def _take(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._start(event)
            return
        own = self._open.get(event.scope)
        found = self._around(event.scope) if own is None and isinstance(event, StepSkipped) else own
        if found is None:  # another Tracing has it
            return
        now = found.epoch + _nanoseconds(event.time)
        if isinstance(event, PathsCounted):
            found.span.set_attribute("trio_steps.fork.path_count", event.total)
        elif isinstance(event, (StepSucceeded, StepFailed, StepCancelled)):
            self._end(event, found, now)
        elif own is None or not isinstance(event, StepSkipped):
            _add_event(event, found.span, now)
        elif event.name == found.name:  # it was refused after it had started
            self._end(event, found, now)
        else:  # a queued path; there may be a million of them
            found.skipped += 1

    def _around(self, scope: Scope | None) -> _Open | None:
        """Return the span of `scope`, or of the nearest one around it that has one."""
        while scope is not None:
            found = self._open.get(scope)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def _start(self, event: StepStarted) -> None:
        scope = event.scope
        if contexts.get_value(_TRACED) is scope:
            return  # by another Tracing
        around = self._around(scope.parent)
        epoch = time_ns() - _nanoseconds(trio.current_time()) if around is None else around.epoch
        span = self._tracer.start_span(
            _span_name(scope),
            attributes={"trio_steps.step.id": scope.id, "trio_steps.step.name": event.name},
            start_time=epoch + _nanoseconds(event.time),
        )
        token = contexts.attach(contexts.set_value(_TRACED, scope, trace.set_span_in_context(span)))
        self._open[scope] = _Open(event.name, span, token, epoch)

    def _end(self, event: StepSucceeded | StepFailed | StepCancelled | StepSkipped, ended: _Open, now: int) -> None:
        span = ended.span
        del self._open[event.scope]
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
            span.set_attribute("error.type", _type_name(event.error))
            span.set_status(trace.StatusCode.ERROR, message(event.error))
            with suppress(Exception):  # the error's own __str__ may raise; then the status says what there is to say
                span.record_exception(event.error, timestamp=now)
        else:
            outcome = "cancelled" if isinstance(event, StepCancelled) else "skipped"
            span.set_attribute("trio_steps.step.reason", event.reason)
        span.set_attribute("trio_steps.step.outcome", outcome)
        span.end(now)


def _add_event(event: Event, span: trace.Span, now: int) -> None:
    """Make `event` one of `span`."""
    name: str
    attributes: dict[str, str | int | float] = {"trio_steps.step.name": event.name}
    if isinstance(event, (StepRetrying, ErrorDiscarded)):
        attributes["exception.type"] = _type_name(event.error)
        attributes["exception.message"] = message(event.error)
    if isinstance(event, StepRetrying):
        name = "trio_steps.step.retrying"
        attributes["trio_steps.retry.attempt"] = event.attempt
        attributes["trio_steps.retry.delay"] = event.delay
    elif isinstance(event, ErrorDiscarded):
        name = "trio_steps.error.discarded"
    elif isinstance(event, ValueDiscarded):
        name = "trio_steps.value.discarded"
        attributes["trio_steps.value.type"] = _type_name(event.value)
        attributes["trio_steps.value.disposed"] = event.disposed
    elif isinstance(event, KeyOverridden):
        name = "trio_steps.key.overridden"
        attributes["trio_steps.key.name"] = event.key
        attributes["trio_steps.key.first_source"] = event.first
        attributes["trio_steps.key.second_source"] = event.second
    elif isinstance(event, StepSkipped):
        name = "trio_steps.step.skipped"
        attributes["trio_steps.step.reason"] = event.reason
    else:
        return
    span.add_event(name, attributes, now)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _span_name(scope: Scope) -> str:
    """Return what all runs of this kind are called: backends group spans by it."""
    if scope.id.isdecimal() and scope.parent is not None:
        return f"{scope.parent.id} path"
    base, _, number = scope.id.rpartition("#")
    return base if base and number.isdecimal() else scope.id


def _type_name(value: object) -> str:
    """Return the name of a value's type, as the SDK writes those of exceptions."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
