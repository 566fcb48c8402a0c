"""Which run it is: a worker runs many of one pipeline, and each observer says which is which by its id."""

from __future__ import annotations

import logging
from io import StringIO
from typing import TYPE_CHECKING

import trio
from rich.console import Console

from trio_steps import LogObserver, Pipeline, Recorder
from trio_steps.store import work
from trio_steps.terminal import LiveTree
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    import pytest

    from trio_steps import Observer


async def double(n: int) -> int:
    await trio.sleep(n)
    if n == 2:
        raise ValueError("two")
    return 2 * n


inner = Pipeline("inner").step("double", double, provides="twice")
pipeline = Pipeline("outer").step("inner", inner).step("again", lambda twice: twice, provides="four")


async def worked(*observers: Observer) -> None:
    store = MemoryStore()
    for n in (1, 2):
        await pipeline.submit({"n": n}, store=store, run_id=f"no.\n{n}")
    with trio.move_on_after(5):
        await work(store, [pipeline], observers=observers)


async def test_recorder_says_which_run_is_which() -> None:
    recorder = Recorder()
    await worked(recorder)
    lines = recorder.render(width=90).splitlines()
    said = [line for line in lines if "run no." in line]
    assert [line.split()[:2] for line in said] == [["✓", "outer"], ["✗", "outer"]]
    assert said[0].endswith("  run no. 1")
    assert said[1].endswith("ValueError: two; run no. 2")
    assert "run no. 1" in recorder.to_html()


async def test_recorder_says_which_run_it_is_while_it_runs() -> None:
    recorder = Recorder()

    async def look() -> None:
        await trio.sleep(0.5)
        assert recorder.render(width=90).splitlines()[1].endswith("  still running; run r")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await pipeline.run({"n": 1}, store=MemoryStore(), run_id="r", observers=[recorder])


async def test_run_that_is_not_kept_has_no_id() -> None:
    recorder = Recorder()
    await pipeline.run({"n": 1}, observers=[recorder])
    assert "run" not in str(recorder)


async def test_live_tree_says_which_run_is_which() -> None:
    text = StringIO()
    console = Console(width=80, file=text)
    async with LiveTree(console=console, summary=True) as tree:
        await worked(tree)
    said = [line for line in text.getvalue().splitlines() if "run no." in line]
    assert [line.split()[1] for line in said] == ["outer", "outer"]
    assert said[0].endswith("  run no. 1")
    assert said[1].endswith("ValueError: two; run no. 2")


async def test_log_has_the_id_of_each_run(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await worked(LogObserver())
    ids = [(record.__dict__["step"], record.__dict__["run_id"]) for record in caplog.records]
    assert ids == [
        ("inner/double", "no. 1"),
        ("inner", "no. 1"),
        ("again", "no. 1"),
        ("outer", "no. 1"),
        ("inner/double", "no. 2"),
        ("inner", "no. 2"),
        ("outer", "no. 2"),
    ]


async def test_log_of_a_run_that_is_not_kept_has_no_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await pipeline.run({"n": 1}, observers=[LogObserver()])
    assert not any(hasattr(record, "run_id") for record in caplog.records)
    assert len(caplog.records) == 4
