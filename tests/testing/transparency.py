"""Run Trio's own tests with every task at a gate, to see whether the tested code notices.

    python tests/testing/transparency.py [trio | batch | any]

The tests are those inside the installed trio. A gate counts as a checkpoint for tests that assert checkpoints.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from trio_steps.testing._machine.run import perform
from trio_steps.testing._machine.settings import Settings
from trio_steps.testing._machine.token import Recipe

MODULES = (
    "trio._tests.test_sync",
    "trio._tests.test_channel",
    "trio._tests.test_timeouts",
    "trio._core._tests.test_parking_lot",
)
POLICIES: Any = ("trio", "batch", "any")


class Jump:
    """Stands for trio's MockClock."""

    def jump(self, seconds: float) -> None:
        clock: Any = trio.lowlevel.current_clock()
        clock.now += seconds


class Gated:
    """A pytest plugin that runs async tests under the conductor."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.passed = 0
        self.failed: dict[str, str] = {}

    @pytest.fixture
    def autojump_clock(self) -> None:
        """Do nothing, because time is virtual anyway."""

    @pytest.fixture
    def mock_clock(self) -> Jump:
        """Stand for trio's fixture."""
        return Jump()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        test = pyfuncitem.obj
        if not inspect.iscoroutinefunction(test):
            return None
        names = inspect.signature(test).parameters
        arguments = {name: pyfuncitem.funcargs[name] for name in names}

        async def program(probe: Any) -> None:
            await partial(test, **arguments)()

        run = perform(program, Recipe(policy=self.policy), Settings(allow=(BaseException,)))
        if run.error is not None:
            raise run.error
        for finding in run.findings:
            if finding.invariant in ("deadlock", "livelock", "internal", "task"):
                raise AssertionError(str(finding))
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed += 1
        elif report.failed:
            self.failed[report.nodeid] = str(report.longrepr).splitlines()[-1] if report.longrepr else "?"


def gated(policy: Any) -> Gated:
    """Run them all, and tell what happened."""
    plugin = Gated(policy)
    # five tests compare sleeps with time.perf_counter(); time is virtual here, so is their ruler
    timeouts: Any = importlib.import_module("trio._tests.test_timeouts")
    timeouts.time = SimpleNamespace(perf_counter=trio.current_time)
    paths = [str(inspect.getfile(importlib.import_module(name))) for name in MODULES]
    options = ["-p", "no:trio", "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:cov", "-c", "/dev/null"]
    pytest.main([*options, "--rootdir", "/", *paths], plugins=[plugin])
    return plugin


def main() -> int:
    try:
        importlib.import_module(MODULES[0])
    except ImportError as error:
        print(f"skipped: trio {trio.__version__} was installed without its tests ({error})")
        return 0
    for policy in sys.argv[1:] or POLICIES:
        plugin = gated(policy)
        print(f"policy {policy}: {plugin.passed} of {plugin.passed + len(plugin.failed)} passed")
        for name, error in plugin.failed.items():
            print(f"  {name.rsplit('/', 1)[-1]}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
