"""Every async test runs on a virtual clock, and nothing is drawn by chance.

The clock starts at 0, and time passes only when every task waits. Hypothesis draws the same examples in every run, and
the order in which Trio runs woken tasks is drawn with the name of the test as the seed, so a test that passes has not
just been lucky. To look for what these draws don't find, run the tests with ``--hypothesis-profile=random``.
"""

from __future__ import annotations

import inspect
import random
import signal
from typing import Any

import hypothesis
import pytest
import trio
import trio.testing

# How long an example takes depends on the machine, not on the library.
unhurried = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("fixed", **unhurried, derandomize=True, database=None)
hypothesis.settings.register_profile("random", hypothesis.settings.get_profile("default"), **unhurried)
hypothesis.settings.load_profile("fixed")

# Some runners start their jobs with SIGINT ignored; tests of Ctrl-C would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGHUP", "SIGTERM"):  # nohup ignores SIGHUP, which Windows lacks
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def run_virtually(main: Any, *, clock: Any = None, **options: Any) -> Any:
    return trio.run(main, clock=clock or trio.testing.MockClock(autojump_threshold=0), **options)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.trio(run=run_virtually))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if hypothesis.settings().derandomize:
        random.seed(item.nodeid)
        trio._core._run._r.seed(item.nodeid)
