"""Structured fan-out for Trio: fork several steps at once, and decide between them.

The floors of the house; a module imports only from floors below it:

    _recorder                       an observer that keeps the story of a run
    _faces                          race, gather, settle: forks on the spot
    _fork                           fork
    _plan                           what a fork was given, checked and put in form
    _engine                         the one nursery that runs paths
    _step                           steps, and how they are called
    _policies                       timeouts, retries, circuit breakers, limiters
    _modes                          how a fork decides: pure, synchronous
    _ledger  _lending               what became of each path; tokens that can be lent
    _scope                          where we are
    _results  _events               Fulfilled, Rejected; event records and who gets them
    _errors                         every exception
"""

from ._errors import (
    CircuitOpenError,
    ConfigError,
    ForkPartialError,
    Kind,
    NoPathsError,
    PathCancelledError,
    StepTimeoutError,
)
from ._events import (
    ErrorDiscarded,
    Event,
    Observer,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
)
from ._faces import gather, race, settle
from ._fork import Fork, fork
from ._ledger import Ledger
from ._modes import Mode, ModeFactory
from ._policies import CircuitBreaker, Retry
from ._recorder import Recorder
from ._results import Fulfilled, Rejected, SettleResult
from ._scope import Scope, current_scope
from ._step import Step, StepDecorator, step

__all__ = [
    "CircuitBreaker",
    "CircuitOpenError",
    "ConfigError",
    "ErrorDiscarded",
    "Event",
    "Fork",
    "ForkPartialError",
    "Fulfilled",
    "Kind",
    "Ledger",
    "Mode",
    "ModeFactory",
    "NoPathsError",
    "Observer",
    "PathCancelledError",
    "Recorder",
    "Rejected",
    "Retry",
    "Scope",
    "SettleResult",
    "Step",
    "StepCancelled",
    "StepDecorator",
    "StepFailed",
    "StepRetrying",
    "StepSkipped",
    "StepStarted",
    "StepSucceeded",
    "StepTimeoutError",
    "ValueDiscarded",
    "current_scope",
    "fork",
    "gather",
    "race",
    "settle",
    "step",
]
