"""Structured fan-out for Trio: fork several steps at once, and decide between them.

The floors of the house; a module imports only from floors below it:

    _pipeline                       Pipeline: the immutable builder
    _run                            the one loop that executes a pipeline's plan
    _nodes                          that plan
    _recorder                       an observer that keeps the story of a run
    _faces                          race, gather, settle: forks on the spot
    _fork                           fork
    _plan                           what a fork was given, checked and put in form
    _engine  _contract              the one nursery that runs paths; what a pipeline needs and provides
    _calling                        functions that are called with the keys of a context
    _step                           steps, and how they are called
    _policies  _checkpoint          timeouts, retries, circuit breakers, limiters; what a run is resumed from
    _modes  _context                how a fork decides; what flows through a pipeline: both pure, synchronous
    _ledger  _lending               what became of each path; tokens that can be lent
    _scope                          where we are
    _results  _events               Fulfilled, Rejected; event records and who gets them
    _fit  _shape                    whether types fit; what is known of a context
    _errors  _types                 every exception; what annotations say
"""

from ._checkpoint import Checkpoint
from ._context import Context
from ._errors import (
    CheckpointError,
    CircuitOpenError,
    ConfigError,
    ForkPartialError,
    KeyCollisionError,
    Kind,
    NoPathsError,
    PathCancelledError,
    StepInputError,
    StepOutputError,
    StepTimeoutError,
)
from ._events import (
    ErrorDiscarded,
    Event,
    KeyOverridden,
    Observer,
    PathsCounted,
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
from ._pipeline import BranchCase, Pipeline, otherwise, when
from ._policies import CircuitBreaker, Retry
from ._recorder import Recorder
from ._results import Fulfilled, Rejected, SettleResult
from ._run import StepCompletion
from ._scope import Scope, current_scope
from ._step import Step, StepDecorator, step

__all__ = [
    "BranchCase",
    "Checkpoint",
    "CheckpointError",
    "CircuitBreaker",
    "CircuitOpenError",
    "ConfigError",
    "Context",
    "ErrorDiscarded",
    "Event",
    "Fork",
    "ForkPartialError",
    "Fulfilled",
    "KeyCollisionError",
    "KeyOverridden",
    "Kind",
    "Ledger",
    "Mode",
    "ModeFactory",
    "NoPathsError",
    "Observer",
    "PathCancelledError",
    "PathsCounted",
    "Pipeline",
    "Recorder",
    "Rejected",
    "Retry",
    "Scope",
    "SettleResult",
    "Step",
    "StepCancelled",
    "StepCompletion",
    "StepDecorator",
    "StepFailed",
    "StepInputError",
    "StepOutputError",
    "StepRetrying",
    "StepSkipped",
    "StepStarted",
    "StepSucceeded",
    "StepTimeoutError",
    "ValueDiscarded",
    "current_scope",
    "fork",
    "gather",
    "otherwise",
    "race",
    "settle",
    "step",
    "when",
]
