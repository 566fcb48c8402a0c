"""An observer for production: every event is one line in the stdlib logger ``trio_steps``, with key-values.

What is deliberately not done: tracebacks. A failure passes every step around it, and whoever gets it at last knows
whether it is an error and logs it once. Nor are values ever written; they may be secret, or large.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, final

import attrs

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
"""How many characters of somebody else's message go into a line."""


@public
@final
@attrs.frozen(kw_only=True)
class LogObserver:
    """Logs each event as one line of the logger ``trio_steps``: ``await step.run(observers=[LogObserver()])``.

    - A step that is tried again, or failed, and a circuit breaker that opens: WARNING. It is no ERROR: in a race or a
      settle a failed path is part of the plan, and a failure is told by every step that it passes. It is an error if
      nobody handles it, which the caller knows.
    - A step that succeeded, was cancelled or skipped, a circuit breaker that closes, and a value that nobody gets:
      `level`.
    - A step or an attempt that started, a wait for a limiter or a rate, and how many paths a fork has: DEBUG.

    The rest, errors that a fork does not raise and keys that were overridden, is logged by the library itself, as
    WARNING, with this observer or without. Steps with ``log=False`` are left out. Nothing is formatted for a level
    that is off.

    Each record has key-values, as if by ``extra=``: ``step`` (the full name) and ``status`` always, and what there is
    of ``duration`` and ``delay`` (seconds), ``attempt``, ``error``, ``reason``, ``won``, ``total``, ``limit``,
    ``state``, ``value_type`` and ``disposed``. Numbers and bools apart, they are strings on one line.

    Attributes:
      level: how important it is that things go their way. With ``logging.DEBUG``, only what goes wrong is above that.
    """

    level: int = logging.INFO

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
                text = "%(step)s returned a value that nobody gets: %(value_type)s, disposed of: %(disposed)s"
                _log(self.level, text, event, "discarded", value_type=kind, disposed=disposed)
            case _:
                pass  # the library has logged it, or another event tells it


def _log(level: int, text: str, event: Event, status: str, **fields: object) -> None:
    if logger.isEnabledFor(level):
        values: dict[str, object] = {"step": event.name, "status": status, **fields}
        for key in values.keys() & {"step", "reason", "error"}:
            values[key] = _one_line(values[key])
        logger.log(level, text, values, extra=values)


def _one_line(text: object) -> str:
    said = headline(text) if isinstance(text, BaseException) else str(text)
    return plain(said[:_MOST_TEXT])
