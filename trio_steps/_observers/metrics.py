"""Metrics with OpenTelemetry: how many steps ran, for how long, how they ended; retries, breakers, waits for limits.

What is deliberately not done: a time series for each path. Paths that share an id are counted together, because
backends pay for each value of an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final
from weakref import WeakSet, ref

from opentelemetry import metrics

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.events.observers import logger
from trio_steps._core.events.records import (
    AttemptEnded,
    CircuitChanged,
    ErrorDiscarded,
    Event,
    LimitWaited,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
)
from trio_steps._core.public import public_in

from .tracing import kind_of_path, kind_of_step, type_name

if TYPE_CHECKING:
    from typing import TypeAlias

    from trio_steps._core.scope import Scope

    _Attributes: TypeAlias = dict[str, str]


@public_in("trio_steps.otel")
@final
class Metrics:
    """An observer that counts and measures through OpenTelemetry's metrics API: ``with observing(Metrics()):``.

    ==================================  =======================  ================================================
    instrument                          kind                     attributes
    ==================================  =======================  ================================================
    ``trio_steps.step.duration``        histogram, seconds       ``step``, ``outcome``, ``error.type``
    ``trio_steps.steps``                counter                  ``step``, ``outcome``, ``error.type``
    ``trio_steps.steps.running``        up-down counter          ``step``
    ``trio_steps.attempts``             counter                  ``step``, ``outcome``, ``error.type``
    ``trio_steps.retries``              counter                  ``step``, ``error.type``
    ``trio_steps.limit.wait``           histogram, seconds       ``step``, ``limit``: ``limiter`` or ``rate``
    ``trio_steps.circuit.changes``      counter                  ``step``, ``state``: ``open`` or ``closed``
    ``trio_steps.discarded``            counter                  ``step``, ``what``: ``value`` or ``error``
    ==================================  =======================  ================================================

    ``outcome`` is ``succeeded``, ``failed``, ``cancelled`` or ``skipped``. ``step`` is the id of the step, without the
    number of paths that share an id: ``fetch#2`` is a ``fetch``, and each element of a ``for_each`` named ``resize`` is
    a ``resize path``. Attempts are those of steps with policies. Steps with ``log=False`` are left out.

    Args:
      meter: makes the instruments; by default ``opentelemetry.metrics.get_meter("trio_steps")``.
    """

    def __init__(self, meter: metrics.Meter | None = None) -> None:
        meter = metrics.get_meter("trio_steps") if meter is None else meter
        if not isinstance(cast("object", meter), metrics.Meter):
            raise ConfigError(
                f"Metrics({short_repr(meter)}): give a meter of OpenTelemetry, metrics.get_meter(…), or None"
            )
        self._duration = meter.create_histogram("trio_steps.step.duration", "s", "How long steps ran.")
        self._steps = meter.create_counter("trio_steps.steps", "{step}", "Steps that are over.")
        self._running = meter.create_up_down_counter("trio_steps.steps.running", "{step}", "Steps that run.")
        self._attempts = meter.create_counter("trio_steps.attempts", "{attempt}", "Attempts that are over.")
        self._retries = meter.create_counter("trio_steps.retries", "{retry}", "Attempts that are made again.")
        self._waits = meter.create_histogram("trio_steps.limit.wait", "s", "How long steps waited for a limit.")
        self._circuits = meter.create_counter("trio_steps.circuit.changes", "{change}", "Breakers opened or closed.")
        self._discarded = meter.create_counter("trio_steps.discarded", "{thing}", "Values and errors that no one got.")
        self._scopes: WeakSet[Scope] = WeakSet()  # of the steps that run
        self._last: ref[Event] | None = None  # it comes again if this observes a run and a run inside it

    def __call__(self, event: Event) -> None:
        """Count the next event of a run."""
        if event.quiet or (self._last is not None and self._last() is event):
            return
        self._last = ref(event)
        try:
            self._take(event)
        except Exception:  # noqa: BLE001 - from an SDK; raising would stop all counting
            logger.exception("counting %r failed", event)

    def _take(self, event: Event) -> None:
        about: _Attributes = {"step": kind_of_step(event.scope)}
        match event:
            case StepStarted(scope=scope):
                self._start(scope, about)
            case StepSucceeded(duration=duration):
                self._end(event, about, "succeeded", duration)
            case StepCancelled(duration=duration):
                self._end(event, about, "cancelled", duration)
            case StepFailed(duration=duration, error=error):
                self._end(event, about, "failed", duration, error)
            case StepSkipped():
                self._skip(event, about)
            case AttemptEnded(status=status, error=error):
                self._attempts.add(1, _ended(about, status, error))
            case StepRetrying(error=error):
                self._retries.add(1, {**about, "error.type": type_name(error)})
            case LimitWaited(limit=limit, duration=duration):
                self._waits.record(duration, {**about, "limit": limit})
            case CircuitChanged(state=state):
                self._circuits.add(1, {**about, "state": state})
            case ValueDiscarded() | ErrorDiscarded():
                self._discarded.add(1, {**about, "what": "value" if isinstance(event, ValueDiscarded) else "error"})
            case _:
                pass  # there is nothing to count

    def _start(self, scope: Scope, about: _Attributes) -> None:
        self._scopes.add(scope)
        self._running.add(1, about)

    def _end(
        self, event: Event, about: _Attributes, outcome: str, duration: float, error: BaseException | None = None
    ) -> None:
        self._leave(event.scope, about)
        attributes = _ended(about, outcome, error)
        self._duration.record(duration, attributes)
        self._steps.add(1, attributes)

    def _skip(self, event: StepSkipped, about: _Attributes) -> None:
        if event.name == event.scope.name:  # otherwise it is a path, and the scope is its fork's
            self._leave(event.scope, about)
        else:
            id = event.name.removeprefix(f"{event.scope.name}/")
            about = {"step": kind_of_path(id, event.scope)}
        self._steps.add(1, _ended(about, "skipped", None))

    def _leave(self, scope: Scope, about: _Attributes) -> None:
        if scope in self._scopes:
            self._scopes.remove(scope)
            self._running.add(-1, about)


def _ended(about: _Attributes, outcome: str, error: BaseException | None) -> _Attributes:
    return {**about, "outcome": outcome, **({} if error is None else {"error.type": type_name(error)})}
