"""Structured fan-out for Trio: fork several steps at once, and decide between them.

The packages; each imports only from those below it:

    _cli                        the command line, on top of everything
    _pipeline                   a context that flows through named steps
    _durable                    stores, which keep runs
    _fork  _observers  _values  several steps at once; what a user sees of a run; copies, equality, text
    _core                       what a step is
    _drawing                    diagrams, as text

Beside them are the modules that a user imports by name: testing, store, terminal, otel, executors.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ._core.errors import (
    CheckpointError,
    CircuitOpenError,
    ConfigError,
    KeyCollisionError,
    LoopLimitError,
    NotAcceptedError,
    QueueFullError,
    StepInputError,
    StepOutputError,
    StepTimeoutError,
)
from ._core.events.ambient import observing
from ._core.events.records import (
    AttemptEnded,
    AttemptStarted,
    CircuitChanged,
    ErrorDiscarded,
    Event,
    KeyOverridden,
    LimitWaited,
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
from ._core.function import FunctionStep, StepDecorator, step
from ._core.policy.breaker import CircuitBreaker
from ._core.policy.rate import RateLimit
from ._core.policy.retry import Retry
from ._core.results import (
    ForkPartialError,
    Fulfilled,
    Kind,
    NoPathsError,
    PathCancelledError,
    Rejected,
    SettleResult,
)
from ._core.scope import Scope, current_scope
from ._core.step import Step
from ._fork.fork import Fork, fork
from ._fork.ledger import Ledger
from ._fork.modes import Mode, ModeFactory
from ._fork.race import gather, race, settle, stream
from ._fork.stream import Stream

if TYPE_CHECKING:
    from ._observers.log import LogObserver
    from ._observers.recorder import Recorder
    from ._pipeline.builder.branches import BranchCase
    from ._pipeline.context import Context, MergePolicy
    from ._pipeline.definition import OnError
    from ._pipeline.pipeline import Pipeline, otherwise, when
    from ._pipeline.run.checkpoint import Checkpoint
    from ._pipeline.run.hooks import CompleteHook, ErrorHook, StepCompletion
    from ._values.codec import Codec, TypedCodec
else:
    # Pipelines, the recorder and the like double the time of `import trio_steps`. They are imported when one of their
    # names is used, so that a program that only forks does not pay for them.
    _ON_DEMAND = {
        "BranchCase": "_pipeline.builder.branches",
        "otherwise": "_pipeline.pipeline",
        "when": "_pipeline.pipeline",
        "Checkpoint": "_pipeline.run.checkpoint",
        "Codec": "_values.codec",
        "TypedCodec": "_values.codec",
        "Context": "_pipeline.context",
        "MergePolicy": "_pipeline.context",
        "CompleteHook": "_pipeline.run.hooks",
        "ErrorHook": "_pipeline.run.hooks",
        "StepCompletion": "_pipeline.run.hooks",
        "LogObserver": "_observers.log",
        "OnError": "_pipeline.definition",
        "Pipeline": "_pipeline.pipeline",
        "Recorder": "_observers.recorder",
    }

    def __getattr__(name: str) -> object:
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
        globals()[name] = value
        return value


__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "BranchCase",
    "Checkpoint",
    "CheckpointError",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitOpenError",
    "Codec",
    "CompleteHook",
    "ConfigError",
    "Context",
    "ErrorDiscarded",
    "ErrorHook",
    "Event",
    "Fork",
    "ForkPartialError",
    "Fulfilled",
    "FunctionStep",
    "KeyCollisionError",
    "KeyOverridden",
    "Kind",
    "Ledger",
    "LimitWaited",
    "LogObserver",
    "LoopLimitError",
    "MergePolicy",
    "Mode",
    "ModeFactory",
    "NoPathsError",
    "NotAcceptedError",
    "Observer",
    "OnError",
    "PathCancelledError",
    "PathsCounted",
    "Pipeline",
    "QueueFullError",
    "RateLimit",
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
    "Stream",
    "TypedCodec",
    "ValueDiscarded",
    "current_scope",
    "fork",
    "gather",
    "observing",
    "otherwise",
    "race",
    "settle",
    "step",
    "stream",
    "when",
]
