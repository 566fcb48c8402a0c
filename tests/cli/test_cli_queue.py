"""The command line with a store whose runs are executed by workers only: it is named by a URL."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import trio
from memory_queue import MemoryQueue

from trio_steps import Pipeline
from trio_steps._cli.common import DONE, FAILED, USAGE
from trio_steps.store import work

URL = "postgresql://user@host/name"
CHECKOUT = Pipeline("checkout").step("pay", lambda order: {"paid": order}).step("thank", lambda: {"text": "thänks"})


@pytest.fixture
def store(monkeypatch):
    store = MemoryQueue()

    def absurd_store(url):
        assert url == URL
        return store

    monkeypatch.setitem(sys.modules, "trio_steps.absurd", SimpleNamespace(AbsurdStore=absurd_store))
    return store


def worked(store, pipeline):
    async def main():
        with trio.move_on_after(0.1):
            await work(store, [pipeline], on_end=lambda *_: None)

    trio.run(main)


def test_run_is_submitted_and_its_result_printed(run, shop, store):
    order = ["--store", URL, "--run-id", "r"]
    assert run("submit", "shop:checkout", "--input", '{"order": 7}', *order) == (DONE, "r\n", "")
    worked(store, CHECKOUT)
    status, out, err = run("run", "shop:checkout", "--input", '{"order": 7}', *order)
    assert (status, json.loads(out), err) == (DONE, {"order": 7, "paid": 7, "text": "thänks"}, "")
    [record] = json.loads(run("runs", "--store", URL, "--json")[1])
    assert (record["run_id"], record["status"]) == ("r", "finished")
    assert run("delete", "r", "--store", URL) == (DONE, "", "")


def test_failure_is_told_in_the_words_of_the_worker(run, shop, store, monkeypatch):
    order = ["--store", URL, "--run-id", "r"]
    run("submit", "shop:failing", *order)
    failing = Pipeline("failing").step("a", lambda: {"a": 1}).step("bad", lambda: 1 / 0)

    async def resume(self, run_id):
        """Do nothing, as if the run had failed again."""

    monkeypatch.setattr(MemoryQueue, "resume", resume)
    worked(store, failing)
    status, _, err = run("resume", "shop:failing", *order)
    assert status == FAILED
    assert "failed: RunFailedError: the run 'r' has failed where it was run: ZeroDivisionError" in err


def test_timeline_of_a_run_that_a_worker_runs_is_refused(run, shop, store):
    status, _, err = run("run", "shop:empty", "--store", URL, "--run-id", "r", "--timeline", "out.html")
    assert (status, err) == (
        USAGE,
        "trio-steps: --timeline out.html: a worker runs the run, so it can't be recorded here\n",
    )


def test_without_the_extra_it_says_what_to_install(run, shop, monkeypatch):
    monkeypatch.delitem(sys.modules, "trio_steps.absurd", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    status, _, err = run("runs", "--store", URL)
    assert (status, err) == (
        USAGE,
        "trio-steps: trio_steps.absurd needs psycopg: pip install 'trio_steps[absurd]'\n",
    )
