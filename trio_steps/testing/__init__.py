"""Deterministic tests of cancellation and interleaving, for any Trio code.

    from trio_steps.testing import explore

    async def program(probe):
        async with probe.resource("conn") as conn:
            return await race(partial(fetch, conn, "a"), partial(fetch, conn, "b"))

    explore(program).raise_if_failed()

Modules and packages import only from those below them:

    _fixture                         the explore fixture of the pytest plugin
    _search/                         many runs of a program: which to try, and the smallest that shows a finding
    _report                          findings as text
    _machine/                        one run of a program, and what is wrong with it
    _footprints/                     what a step of a task can touch: which steps are independent of each other
    _probe                           the argument of a program: resources, invariants, locks to watch
    _findings   _compare   _fakes    what can be wrong; values of different runs; scripted paths
    _history   _locks                overlapping calls, and an order that explains them; the state of locks
    _places                          lines of source
"""

from ._conformance import check_store
from ._fakes import FakeStep, RecordingObserver
from ._findings import DeadlockError, ExplorationError, FaultInjectedError, Finding, Ignore, Invariant, TokenError
from ._fixture import Explore
from ._machine.clock import VirtualClock
from ._machine.run import Run
from ._machine.schedules import Policy
from ._machine.settings import Options, Program
from ._places import Place
from ._probe import Probe, Resource
from ._report import Failure, Report
from ._search.enumerate import enumerate_schedules
from ._search.explore import explore
from ._search.linearizable import linearizable
from ._search.replay import check_determinism, replay, run_once
from ._search.sweep import sweep_cancellation, sweep_faults, sweep_timeouts
from ._stores import MemoryStore, StoreCrashedError

__all__ = [
    "DeadlockError",
    "ExplorationError",
    "Explore",
    "Failure",
    "FakeStep",
    "FaultInjectedError",
    "Finding",
    "Ignore",
    "Invariant",
    "MemoryStore",
    "Options",
    "Place",
    "Policy",
    "Probe",
    "Program",
    "RecordingObserver",
    "Report",
    "Resource",
    "Run",
    "StoreCrashedError",
    "TokenError",
    "VirtualClock",
    "check_determinism",
    "check_store",
    "enumerate_schedules",
    "explore",
    "linearizable",
    "replay",
    "run_once",
    "sweep_cancellation",
    "sweep_faults",
    "sweep_timeouts",
]

for _name in __all__:  # stored tokens, pickles and tracebacks name this module, not the private one
    if getattr(globals()[_name], "__module__", "").startswith(__name__):
        globals()[_name].__module__ = __name__
