"""How places are written: those of a library from its package on; and only Trio's own files count as Trio."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio_util

import trio_steps
from trio_steps.testing import Probe, run_once
from trio_steps.testing._places import _best, short_file


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (trio_util.__file__, "trio_util/__init__.py"),
        (json.__file__, "json/__init__.py"),
        (__file__, "tests/testing/test_places.py"),
        (str(Path(sys.base_prefix).parent / "elsewhere" / "file.py"), "file.py"),
        (r"C:\Python\Lib\site-packages\httpx\_client.py", "httpx/_client.py"),
        ("/usr/lib/python3/dist-packages/httpx/_client.py", "httpx/_client.py"),
    ],
)
def test_file_is_told_from_its_package_on(file: str, told: str) -> None:
    assert short_file(file) == told


def test_package_whose_name_begins_with_trio_is_not_trio() -> None:
    async def program(probe: Probe) -> None:
        value: Any = trio_util.AsyncValue(0)
        await value.wait_value(5)

    [finding] = run_once(program).findings
    assert finding.place is not None
    assert str(finding.place).startswith("trio_util/_async_value.py:")
    assert "← tests/testing/test_places.py:" in finding.place.story


async def test_place_of_trio_itself_is_the_line_that_called_it() -> None:
    async def program(probe: Probe) -> None:
        await trio.Event().wait()

    run = await trio.to_thread.run_sync(lambda: run_once(program))
    assert str(run.findings[0].place).startswith("tests/testing/test_places.py:")


def frame(file: str, line: int) -> Any:
    return SimpleNamespace(f_code=compile(str(line), file, "exec")), line


def test_place_is_the_users_innermost_line_or_else_ours_but_never_that_of_the_machinery() -> None:
    ours, user = frame(trio_steps.__file__, 3), frame(__file__, 5)
    machinery = [frame(trio.__file__, 7), frame(run_once.__code__.co_filename, 9)]
    assert str(_best([ours, *machinery])) == "trio_steps/__init__.py:3"
    assert str(_best([user, ours, *machinery])) == "tests/testing/test_places.py:5"
    assert _best(machinery) is None
