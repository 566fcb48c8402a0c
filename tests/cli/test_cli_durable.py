"""Durable runs on the command line: run with a store, resume, runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing

import pytest

from trio_steps._cli.common import CLAIMED, DONE, FAILED, SIGNALLED, USAGE
from trio_steps._durable.sqlite import Database

# Durable runs


def test_run_with_a_store_gives_the_run_a_name_and_goes_on_by_it(run) -> None:
    status, _, err = run("run", "shop:failing", "--store", "runs.db", "-q")
    assert status == FAILED
    first, *_, last = err.splitlines()
    name = first.removeprefix("the id of the run is ")
    assert name.startswith("failing-")
    assert last == f"go on with: trio-steps resume shop:failing --store runs.db --run-id {name}"
    assert run("resume", "shop:failing", "--store", "runs.db", "--run-id", name, "-q")[0] == FAILED


def test_run_with_a_store_prints_the_result_of_a_finished_run_again(run) -> None:
    argv = ("run", "shop:checkout", "--input", '{"order": 1}', "--store", "runs.db", "--run-id", "one")
    first = run(*argv)
    again = run(*argv, "-q")
    assert (again, first[0]) == ((DONE, first[1], ""), DONE)


def test_run_id_without_a_store_is_misuse(run) -> None:
    status, _, err = run("run", "shop:empty", "--run-id", "one")
    assert status == USAGE
    assert err == "trio-steps: --run-id one: give also the file to keep the run in, --store runs.db\n"


def test_store_that_is_no_file_is_misuse(run) -> None:
    status, _, err = run("run", "shop:empty", "--store", ":memory:")
    assert status == USAGE
    assert "give the name of a file, which survives a crash" in err


def test_run_that_is_running_already_has_a_status_of_its_own(run, shop) -> None:
    database = Database(shop / "runs.db", "full")
    claimed = database.claim("one")
    try:
        status, out, err = run("run", "shop:empty", "--store", "runs.db", "--run-id", "one", "-q")
    finally:
        database.release(claimed)
    assert (status, out) == (CLAIMED, "")
    where = f"in the process {os.getpid()}"
    assert err == f"trio-steps: the run 'one' is already running, {where}; wait for it, or use another run_id\n"


def test_resume_of_a_run_that_is_not_there_is_misuse(run, shop) -> None:
    status, _, err = run("resume", "shop:empty", "--store", "runs.db", "--run-id", "one")
    assert (status, err) == (USAGE, "trio-steps: there is no store 'runs.db'\n")
    assert not (shop / "runs.db").exists()
    run("run", "shop:empty", "--store", "runs.db", "--run-id", "other")
    status, _, err = run("resume", "shop:empty", "--store", "runs.db", "--run-id", "one")
    assert (status, err) == (USAGE, "trio-steps: there is no run 'one' in 'runs.db'; trio-steps runs lists them\n")


def test_runs_lists_the_runs_of_a_store(run) -> None:
    run("run", "shop:checkout", "--input", '{"order": 1}', "--store", "runs.db", "--run-id", "one")
    run("run", "shop:failing", "--store", "runs.db", "--run-id", "two")
    status, out, _ = run("runs", "--store", "runs.db")
    assert status == DONE
    head, two, one = out.splitlines()
    assert head.split() == ["RUN", "PIPELINE", "STATUS", "LAST", "STEP", "UPDATED", "NOTE"]
    assert two.split()[:4] == ["two", "failing", "failed", "a"]
    assert two.endswith("OSError: no money")
    assert one.split()[:4] == ["one", "checkout", "finished", "thank"]


def test_runs_lists_the_runs_as_json(run) -> None:
    run("run", "shop:empty", "--store", "runs.db", "--run-id", "one")
    [record] = json.loads(run("runs", "--store", "runs.db", "--json")[1])
    assert list(record) == [
        "run_id",
        "pipeline",
        "version",
        "status",
        "started",
        "updated",
        "step",
        "error",
        "waiting",
        "deaths",
    ]
    assert (record["run_id"], record["status"], record["step"]) == ("one", "finished", None)


def test_store_that_is_none_is_an_error(run, shop) -> None:
    status, _, err = run("runs", "--store", "shop.py")
    assert status == FAILED
    assert "is not a database, or is damaged" in err


def test_store_that_can_not_be_used_is_an_error_with_its_name(run, shop) -> None:
    run("run", "shop:empty", "--store", "runs.db")
    with closing(sqlite3.connect("runs.db")) as connection:
        connection.execute("DROP TABLE runs")
    status, _, err = run("runs", "--store", "runs.db")
    assert status == FAILED
    assert err == f"trio-steps: OperationalError: no such table: runs\nin the store {str(shop / 'runs.db')!r}\n"


LEAVES = """
import sys
from trio_steps import Pipeline

def leave():
    sys.exit(3)

leaves = Pipeline("leaves").step("a", lambda: {"a": 1}).step("leave", leave)
both = Pipeline("both").step("leave", leave, lambda: {"b": 1})
"""


@pytest.mark.parametrize("name", ["leaves", "both"])
def test_step_that_exits_is_an_error_and_the_run_can_be_resumed(run, shop, name) -> None:
    (shop / "leaving.py").write_text(LEAVES, encoding="utf-8")
    status, out, err = run("run", f"leaving:{name}", "--store", "runs.db", "--run-id", "r", "--quiet")
    assert (status, out) == (FAILED, "")
    what, *_, again = err.splitlines()
    assert what == "failed, as a step called sys.exit: SystemExit: 3"
    assert again == f"go on with: trio-steps resume leaving:{name} --store runs.db --run-id r"
    [record] = json.loads(run("runs", "--store", "runs.db", "--json")[1])
    assert (record["status"], record["error"].splitlines()[0]) == ("failed", "SystemExit: 3")
    assert run("resume", f"leaving:{name}", "--store", "runs.db", "--run-id", "r", "--quiet")[0] == FAILED
    assert run("run", f"leaving:{name}", "--quiet")[0] == FAILED
    assert run("submit", f"leaving:{name}", "--store", "runs.db", "--run-id", "s")[0] == 0
    status, _, err = run("work", f"leaving:{name}", "--store", "runs.db", "--quiet")
    assert status == FAILED
    first, *_, last = err.splitlines()
    assert (first, last) == ("stopped, as a step called sys.exit: SystemExit: 3", "in the run 's'")
    [record, _] = json.loads(run("runs", "--store", "runs.db", "--json")[1])
    assert (record["run_id"], record["status"]) == ("s", "failed")


INTERRUPTED = """
from trio_steps import Pipeline

def group():
    raise BaseExceptionGroup("of a nursery", [SystemExit(3), KeyboardInterrupt()])

both = Pipeline("both").step(group)
"""


def test_interruption_beside_an_exit_is_an_interruption(run, shop) -> None:
    (shop / "interrupted.py").write_text(INTERRUPTED, encoding="utf-8")
    status, _, err = run("run", "interrupted:both", "--quiet")
    assert status == SIGNALLED + signal.SIGINT
    assert err.splitlines()[0] == "interrupted again: the clean-up is cut short"
