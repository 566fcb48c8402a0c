"""Deterministic tests of cancellation and interleaving, for any Trio code.

    from trio_steps.testing import explore

    async def program(probe):
        async with probe.resource("conn") as conn:
            return await race(partial(fetch, conn, "a"), partial(fetch, conn, "b"))

    explore(program).raise_if_failed()

A module imports only from those below it:

    _pytest_plugin                       fixtures and options
    _explore                             the portfolio; one run; replay
    _enumerate                           every order of a small program
    _sweep                               a disturbance everywhere, one run each
    _report                              what was found, as text
    _minimise                            the least that shows it
    _bench                               many runs of one program
    _run                                 one run, and what is wrong with it
    _conductor                           one step at a time: who goes on, and when time passes
    _probe   _player   _clock            accounts; a task at its gate; virtual time
    _trace   _token   _faults            stories; how to do it again; a wait that raises
    _schedules                           who goes on next
    _values  _findings _fakes            values of different runs; what can be wrong; scripted paths
    _source                              lines of source
"""

from ._fakes import FakeStep, RecordingObserver
from ._findings import DeadlockError, ExplorationError, FaultInjectedError, Finding, Invariant, TokenError
from ._machine.clock import VirtualClock
from ._machine.run import Program, Run
from ._machine.schedules import Policy
from ._places import Place
from ._probe import Probe, Resource
from ._report import Failure, Report
from ._search.enumerate import enumerate_schedules
from ._search.explore import check_determinism, explore, replay, run_once
from ._search.sweep import sweep_cancellation, sweep_faults

__all__ = [
    "DeadlockError",
    "ExplorationError",
    "Failure",
    "FakeStep",
    "FaultInjectedError",
    "Finding",
    "Invariant",
    "Place",
    "Policy",
    "Probe",
    "Program",
    "RecordingObserver",
    "Report",
    "Resource",
    "Run",
    "TokenError",
    "VirtualClock",
    "check_determinism",
    "enumerate_schedules",
    "explore",
    "replay",
    "run_once",
    "sweep_cancellation",
    "sweep_faults",
]

for _name in __all__:  # stored tokens, pickles and tracebacks name this module, not the private one
    if getattr(globals()[_name], "__module__", "").startswith(__name__):
        globals()[_name].__module__ = __name__
