"""Structured fan-out for Trio: fork several steps at once, and decide between them.

The floors of the house; a module imports only from floors below it:

    testing  terminal  otel         what a user imports by itself: tests of cancellation; a live tree; spans;
    store  executors                durable runs in SQLite; functions that run in an executor
    _pipeline                       Pipeline: the immutable builder
    _durable                        runs that are kept in a store as they go
    _cases                          what a branch makes of when and otherwise
    _parts                          what a builder makes of names, options and functions
    _fork_steps  _faces  _recorder  forks as steps of a pipeline, and on the spot; an observer that keeps a run's story
    _fork                           fork
    _diagram                        what is drawn of a step, and of its run
    _run                            the one loop that executes a pipeline
    _forks  _program                its parallel steps and for_each; what a pipeline is
    _hooks  _journal                who is told; what is done already
    _calls  _nodes                  functions called, results understood; the plan of a pipeline
    _timeline  _chrome_trace        a run as a page, and as a trace
    _logging  _tree                 an observer that logs; what a live display draws
    _charts  _rows                  the rows of a timeline; the story of a run, read from its events
    _plan                           what a fork was given, checked and put in form
    _engine  _contract              the one nursery that runs paths; what a pipeline needs and provides
    _calling                        functions that are called with the keys of a context
    _source  _leftovers  _workers   where paths come from; what a fork neither returns nor raises; what workers go by
    _step                           steps, and how they are called
    _policies  _checkpoint          timeouts, retries, circuit breakers, limiters; what a run is resumed from
    _modes  _context  _codec        how a fork decides; what flows through a pipeline; values as JSON: pure, synchronous
    _forms                          how each type is taken apart, and put together
    _ledger  _lending  _named       what became of each path; tokens that can be lent; classes found by name
    _scope  _values                 where we are; copies and equality
    _results  _events               Fulfilled, Rejected; event records and who gets them
    _fit  _shape                    whether types fit; what is known of a context
    _errors  _types                 every exception; what annotations say
"""

from importlib import import_module
from typing import TYPE_CHECKING

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
from ._policies import CircuitBreaker, Retry
from ._results import Fulfilled, Rejected, SettleResult
from ._scope import Scope, current_scope
from ._step import Step, StepDecorator, step

if TYPE_CHECKING:
    from ._cases import BranchCase, otherwise, when
    from ._checkpoint import Checkpoint, Codec
    from ._context import Context, MergePolicy
    from ._hooks import CompleteHook, ErrorHook, StepCompletion
    from ._logging import LogObserver
    from ._nodes import OnError
    from ._pipeline import Pipeline
    from ._recorder import Recorder
else:
    # Pipelines, the recorder and the like double the time that `import trio_steps` takes. So who wants forks only
    # does not pay for them: they are imported when somebody asks for one of their names.
    _ON_DEMAND = {
        "BranchCase": "_cases",
        "otherwise": "_cases",
        "when": "_cases",
        "Checkpoint": "_checkpoint",
        "Codec": "_checkpoint",
        "Context": "_context",
        "MergePolicy": "_context",
        "CompleteHook": "_hooks",
        "ErrorHook": "_hooks",
        "StepCompletion": "_hooks",
        "LogObserver": "_logging",
        "OnError": "_nodes",
        "Pipeline": "_pipeline",
        "Recorder": "_recorder",
    }

    def __getattr__(name: str) -> object:
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
        globals()[name] = value
        return value


__all__ = [
    "BranchCase",
    "Checkpoint",
    "CheckpointError",
    "CircuitBreaker",
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
    "KeyCollisionError",
    "KeyOverridden",
    "Kind",
    "Ledger",
    "LogObserver",
    "MergePolicy",
    "Mode",
    "ModeFactory",
    "NoPathsError",
    "Observer",
    "OnError",
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
