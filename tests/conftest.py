"""Every async test runs on a virtual clock: it starts at 0, and time passes only when every task waits."""

from __future__ import annotations

import inspect
import signal
from typing import Any

import hypothesis
import pytest
import trio
import trio.testing

# How long an example takes depends on the machine, not on the library.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

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
