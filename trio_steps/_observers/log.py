"""An observer for production: every event is one line in the stdlib logger ``trio_steps``, with key-value pairs.

What is deliberately not done: tracebacks. A failure passes through every step around it, and only the code that finally
handles it knows whether it is an error, and logs it once. Values are not logged either: they may be secret, or large.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast, final

import attrs

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.events.observers import logger
from trio_steps._core.events.records import (
    AttemptStarted,
    CircuitChanged,
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
from trio_steps._core.public import public

from .rows import headline, plain

if TYPE_CHECKING:
    from trio_steps._core.events.records import Event

_MOST_TEXT: Final = 500
"""The most characters of an error's message in a line."""


@public
@final
@attrs.frozen(kw_only=True)
class LogObserver:
    """Logs each event as one line of the logger ``trio_steps``: ``await step.run(observers=[LogObserver()])``.

    - WARNING: a step failed or is tried again, or a circuit breaker opened. A failure is not an ERROR: in a race or a
      settle, failed paths are part of the plan, and every step that a failure passes through reports it. Only the
      caller knows whether it is an error.
    - `level`: a step succeeded, was cancelled or skipped, a circuit breaker closed, or a value was discarded.
    - DEBUG: a step or an attempt started, a step waited for a limiter or a rate, or a fork knows how many paths it has.

    The library itself logs errors that a fork does not raise, and keys that were overridden, as WARNING, with or
    without this observer. Steps with ``log=False`` are left out. Nothing is formatted for a level that is off.

    Each record has key-value pairs, as from ``extra=``: always ``step`` (the full name) and ``status``, and if they
    apply ``duration`` and ``delay`` (seconds), ``attempt``, ``error``, ``reason``, ``won``, ``total``, ``limit``,
    ``state``, ``value_type``, ``disposed`` and ``run_id`` (of a run that is kept in a store). Except for numbers and
    bools, they are strings on one line.

    Attributes:
      level: the level for events that are not problems. With ``logging.DEBUG``, only problems are above DEBUG.

    Raises:
      ConfigError: `level` is not a number.
    """

    level: int = logging.INFO

    def __attrs_post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(cast("object", self.level), int):
            raise ConfigError(f"LogObserver(level={short_repr(self.level)}): give a number, level=logging.DEBUG")

    def __call__(self, event: Event) -> None:
        """Log `event`."""
        if event.quiet:
            return
        match event:
            case StepStarted():
                _log(logging.DEBUG, "%(step)s started", event, "started")
            case StepSucceeded(duration=duration, won=won):
                text = "%(step)s succeeded after %(duration).3f s"
                _log(self.level, text, event, "succeeded", duration=duration, won=won)
            case StepFailed(duration=duration, error=error):
                text = "%(step)s failed after %(duration).3f s: %(error)s"
                _log(logging.WARNING, text, event, "failed", duration=duration, error=error)
            case StepCancelled(duration=duration, reason=reason):
                text = "%(step)s was cancelled after %(duration).3f s: %(reason)s"
                _log(self.level, text, event, "cancelled", duration=duration, reason=reason)
            case StepSkipped(reason=reason):
                _log(self.level, "%(step)s did not run: %(reason)s", event, "skipped", reason=reason)
            case StepRetrying(attempt=attempt, error=error, delay=delay):
                text = "%(step)s failed in attempt %(attempt)d, and is tried again in %(delay).3f s: %(error)s"
                _log(logging.WARNING, text, event, "retrying", attempt=attempt, error=error, delay=delay)
            case AttemptStarted(attempt=attempt):
                _log(logging.DEBUG, "%(step)s started attempt %(attempt)d", event, "attempt", attempt=attempt)
            case LimitWaited(limit=limit, duration=duration):
                text = "%(step)s waited %(duration).3f s for its %(limit)s"
                _log(logging.DEBUG, text, event, "waited", limit=limit, duration=duration)
            case CircuitChanged(state=state):
                level = logging.WARNING if state == "open" else self.level
                _log(level, "%(step)s: its circuit breaker is %(state)s", event, "circuit", state=state)
            case PathsCounted(total=total):
                _log(logging.DEBUG, "%(step)s has %(total)d paths", event, "counted", total=total)
            case ValueDiscarded(value=value, disposed=disposed):
                kind = type(value).__name__
                text = "%(step)s returned a value that no one receives: %(value_type)s, disposed of: %(disposed)s"
                _log(self.level, text, event, "discarded", value_type=kind, disposed=disposed)
            case _:
                pass  # the library has logged it, or another event covers it


def _log(level: int, text: str, event: Event, status: str, **fields: object) -> None:
    if logger.isEnabledFor(level):
        values: dict[str, object] = {"step": event.name, "status": status, **fields}
        if (run_id := event.scope.run_id) is not None:
            values["run_id"] = run_id
        for key in values.keys() & {"step", "reason", "error", "run_id"}:
            values[key] = _one_line(values[key])
        logger.log(level, text, values, extra=values)


def _one_line(text: object) -> str:
    said = headline(text) if isinstance(text, BaseException) else str(text)
    return plain(said[:_MOST_TEXT])
