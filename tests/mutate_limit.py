"""A pytest plugin for `mutate.py`: it ends a run that takes far longer than it does without a mutation.

A mutation can make a loop endless that never yields to Trio. So a thread in C watches the time, and ends the process.
MUTATE_SECONDS names a file that says how long each test took before. MUTATE_TOO_LONG names one for the traceback of the
test that was ended; it stays empty if none was.
"""

from __future__ import annotations

import faulthandler
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_seconds = json.loads(Path(os.environ["MUTATE_SECONDS"]).read_text(encoding="utf-8"))
_too_long = Path(os.environ["MUTATE_TOO_LONG"]).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process


def _begin(seconds: float) -> None:
    faulthandler.dump_traceback_later(30 + 20 * seconds, exit=True, file=_too_long)


_begin(2)  # for the import of all tests


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _begin(_seconds.get(item.nodeid, 1))
    try:
        return (yield)
    finally:
        _begin(0)
