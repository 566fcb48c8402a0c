"""Stores on the command line: showing and changing their contents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trio_steps._cli.common import DONE, FAILED, SIGNALLED, USAGE
from trio_steps.store import RunRecord, SqliteStore, StoredRun

ORDER = """
from trio_steps import Pipeline

def charge(order):
    return {"receipt": f"R-{order}"}

def ship(approved):
    if not approved:
        raise ValueError("not approved")

order = (
    Pipeline("order", version="7")
    .step("charge", charge)
    .wait_for("approval", provides="approved", of=bool)
    .step("ship", ship)
)
"""


@pytest.fixture
def orders(run, shop):
    (shop / "orders.py").write_text(ORDER, encoding="utf-8")

    def on(command, *rest):
        return run(command, *rest, "--store", "runs.db")

    yield on
    sys.modules.pop("orders", None)


def submitted(orders, *names):
    for name in names:
        assert orders("submit", "orders:order", "--input", '{"order": 1}', "--run-id", name) == (DONE, f"{name}\n", "")


def listed(orders, *rest):
    return [record["run_id"] for record in json.loads(orders("runs", "--json", *rest)[1])]


def test_submit_gives_a_run_a_name_and_changes_none_that_is_there(orders) -> None:
    status, out, _ = orders("submit", "orders:order", "--input", '{"order": 1}')
    assert (status, out[:6]) == (DONE, "order-")
    submitted(orders, "one")
    assert orders("submit", "orders:order", "--input", '{"order": 1}', "--run-id", "one") == (
        DONE,
        "one\n",
        "the run 'one' already exists\n",
    )


def test_run_waits_is_answered_and_goes_on(orders) -> None:
    argv = ("run", "orders:order", "--input", '{"order": 1}', "--run-id", "one", "-q")
    status, out, err = orders(*argv)
    assert (status, json.loads(out)) == (DONE, {"order": 1, "receipt": "R-1"})
    assert err == "answer it with: trio-steps answer one --store runs.db --set approval=JSON\n"
    assert "waiting" in orders("runs")[1]
    assert "for approval" in orders("runs")[1]
    status, _, err = orders("answer", "one", "--set", "approved=yes")
    assert (status, err) == (USAGE, "trio-steps: --set approved=yes: give KEY=JSON, such as --set 'approved=\"yes\"'\n")
    status, _, err = orders("answer", "one", "--set", 'approved="true"')
    assert (status, "asks for bool" in err) == (USAGE, True)
    assert orders("answer", "one", "--set", "approved=true") == (DONE, "", "")
    status, out, err = orders(*argv)
    assert (status, json.loads(out)["approved"], err) == (DONE, True, "")


def test_show_tells_all_that_is_known_of_a_run(orders) -> None:
    orders("run", "orders:order", "--input", '{"order": 1}', "--run-id", "one", "-q")
    out = orders("show", "one")[1]
    for part in ("run:       one", "version:   7", "status:    waiting", "last step: charge", "approval"):
        assert part in out
    assert json.loads(orders("show", "one", "--json")[1])["waits for"] == {"approval": "as long as it takes"}
    assert orders("show", "two")[0] == USAGE


@pytest.mark.parametrize(("deaths", "times"), [(1, "once"), (2, "2 times")])
def test_show_says_in_words_what_it_knows(orders, monkeypatch, deaths, times) -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    record = RunRecord(
        run_id="a\nb",
        pipeline="order",
        version=None,
        status="waiting",
        started=time,
        updated=time,
        step=None,
        error="ValueError: no\n\nin step 'ship'",
        waiting={"approval": time, "refund": None},
        deaths=deaths,
    )
    answers = {"approval": "true", "refund": '{"of": 1}'}

    class Store:
        async def read(self, run_id):
            return StoredRun(record=record, parts={}, questions=(), answers=answers)

    monkeypatch.setattr("trio_steps._cli.stores.existing_store", lambda where: Store())
    local = time.astimezone().isoformat(" ", "seconds")
    assert orders("show", "a")[1].splitlines() == [
        "run:       a b",
        "pipeline:  order",
        "status:    waiting",
        f"started:   {local}",
        f"updated:   {local}",
        f"died:      {times}",
        f"waits for: approval (until {local}); refund (as long as it takes)",
        'answers:   { "approval": true, "refund": { "of": 1 } }',
        "error:     ValueError: no",
        "",
        "           in step 'ship'",
    ]
    known = json.loads(orders("show", "a", "--json")[1])
    assert (known["died"], known["waits for"]["approval"]) == (deaths, time.isoformat())


def test_runs_can_be_filtered_and_come_in_pages(orders) -> None:
    submitted(orders, "a", "b", "c")
    assert orders("cancel", "b") == (DONE, "", "")
    assert listed(orders) == ["c", "b", "a"]
    assert listed(orders, "--status", "submitted,failed") == ["c", "a"]
    assert listed(orders, "--pipeline", "other") == []
    assert (listed(orders, "--limit", "2"), listed(orders, "--after", "b")) == (["c", "b"], ["a"])
    assert orders("runs", "--status", "gone")[0] == USAGE
    assert orders("runs", "--after", "gone")[0] == USAGE
    for number in ("-1", "2.0", "٢", ""):
        status, _, err = orders("runs", "--limit", number)
        assert (status, f"{number!r} is not a number of runs; give one such as 20" in err) == (USAGE, True)


def test_cancel_and_delete_say_what_they_could_not_do(orders) -> None:
    submitted(orders, "a")
    assert orders("cancel", "a") == (DONE, "", "")
    assert orders("cancel", "a") == (FAILED, "", "the run 'a' is already over\n")
    assert orders("delete", "a") == (DONE, "", "")
    status, _, err = orders("delete", "a")
    assert (status, "there is no run 'a' in the store" in err) == (USAGE, True)


@pytest.mark.parametrize("run_id", ["", " ", "\udcff"])
def test_id_that_no_run_can_have_is_refused_by_every_command(orders, run_id) -> None:
    submitted(orders, "one")
    commands = [
        *(("show", run_id), ("cancel", run_id), ("delete", run_id), ("answer", run_id, "--set", "approved=true")),
        *(("move", run_id, "--to", "other.db"), ("runs", "--after", run_id)),
        *((command, "orders:order", "--run-id", run_id) for command in ("run", "resume", "submit")),
    ]
    for command in commands:
        status, out, err = orders(*command)
        assert (status, out) == (USAGE, ""), command
        assert f"{run_id!r} can't be the id of a run; give one such as order-42" in err, command
    assert listed(orders) == ["one"]


def test_move_takes_a_run_to_another_store(orders, run) -> None:
    orders("run", "orders:order", "--input", '{"order": 1}', "--run-id", "one", "-q")
    assert orders("move", "one", "--to", "other.db") == (DONE, "", "")
    assert orders("move", "one", "--to", "other.db")[0] == USAGE
    assert listed(orders) == []
    assert run("answer", "one", "--set", "approved=true", "--store", "other.db")[0] == DONE
    assert run("run", "orders:order", "--run-id", "one", "-q", "--store", "other.db")[0] == DONE
    status, _, err = run("move", "one", "--store", "other.db", "--to", "runs.db")
    assert (status, err) == (USAGE, "trio-steps: the run 'one' is finished; only a run that can continue is moved\n")


def test_store_at_a_url_is_one_of_absurd(orders, monkeypatch) -> None:
    class Module:
        AbsurdStore = staticmethod(lambda url: opened.append(url) or SqliteStore("other.db"))

    opened = []
    submitted(orders, "one")
    monkeypatch.setitem(sys.modules, "trio_steps.absurd", Module)
    assert orders("move", "one", "--to", "postgresql://host/db")[0] == DONE
    assert opened == ["postgresql://host/db"]
    monkeypatch.setitem(sys.modules, "trio_steps.absurd", None)
    status, _, err = orders("move", "one", "--to", "postgres://host/db")
    assert (status, "trio_steps.absurd" in err) == (USAGE, True)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "orders:order", "--run-id", "one", "--input"],
        ["submit", "orders:order", "--run-id", "one", "--input"],
    ],
    ids=["run", "submit"],
)
@pytest.mark.parametrize("input", ["@gone.json", '{"order"', "[1]", '{"ordr": 1}'])
def test_input_that_is_missing_or_wrong_is_misuse_and_makes_no_run(orders, shop, command, input) -> None:
    (shop / "orders.py").write_text(
        ORDER.replace('version="7"', "inputs=Order")
        .replace("from trio_steps", "from typing import TypedDict\nfrom trio_steps")
        .replace("def charge", "class Order(TypedDict):\n    order: int\n\ndef charge"),
        encoding="utf-8",
    )
    status, out, err = orders(*command, input)
    assert (status, out) == (USAGE, "")
    assert "go on with" not in err
    assert not Path(shop, "runs.db").exists() or listed(orders) == []
    assert orders(*command, '{"order": 1}')[0] == DONE


def test_prune_deletes_old_runs(orders) -> None:
    submitted(orders, "a", "b")
    orders("cancel", "a")
    assert orders("prune", "--older-than", "30d") == (DONE, "", "")
    assert orders("prune", "--keep", "0", "--status", "cancelled") == (DONE, "a\n", "")
    for wrong in (["--older-than", "soon"], ["--older-than", ""], []):
        assert orders("prune", *wrong)[0] == USAGE


def test_resume_all_goes_on_with_what_failed(orders) -> None:
    for name, approved in (("bad", "false"), ("good", "true")):
        orders("run", "orders:order", "--input", '{"order": 1}', "--run-id", name, "-q")
        orders("answer", name, "--set", f"approved={approved}")
    orders("run", "orders:order", "--run-id", "bad", "-q")
    status, _, err = orders("resume", "orders:order", "--all", "-q")
    assert (status, err.splitlines()[0]) == (FAILED, "bad:")
    assert orders("resume", "orders:order")[0] == USAGE


def test_version_is_told(run) -> None:
    status, out, _ = run("--version")
    assert (status, out.split()[0]) == (DONE, "trio_steps")


def test_worker_runs_what_was_submitted_until_it_is_stopped(orders, shop) -> None:
    submitted(orders, "one")
    command = [sys.executable, "-m", "trio_steps", "work", "orders:order", "--store", "runs.db"]
    with subprocess.Popen(command, cwd=shop, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        for line in worker.stderr:
            if line == "one: waiting\n":
                break
        os.kill(worker.pid, signal.SIGTERM)
        rest = worker.stderr.read()
    assert worker.returncode == SIGNALLED + signal.SIGTERM
    assert rest == "interrupted: cleaning up …\n0 finished, 0 failed, 1 waiting for an answer\n"
    assert Path(shop, "runs.db").exists()
    assert "waiting" in orders("runs")[1]


WORKS = """
import signal
from pathlib import Path
import trio
from trio_steps import Pipeline

def fail():
    raise OSError("no")

def mended():
    if not Path("mended").exists():
        raise OSError("not mended")

async def stop():
    signal.raise_signal(getattr(signal, Path("signal").read_text()))
    await trio.sleep_forever()

async def stop_twice():
    try:
        await stop()
    finally:
        signal.raise_signal(signal.SIGINT)
        await trio.lowlevel.checkpoint()

good = Pipeline("good").step("a", lambda: {"a": 1})
bad = Pipeline("bad").step("b", fail)
stops = Pipeline("stops").step("stop", stop)
waits = Pipeline("waits").wait_for("ask", provides="ok", of=bool)
stops_twice = Pipeline("stops-twice").step("stop", stop_twice)
mended_and_stopped = Pipeline("mended").step("mended", mended).step("stop", stop)
"""


@pytest.fixture
def works(orders, shop):
    (shop / "works.py").write_text(WORKS, encoding="utf-8")
    (shop / "signal").write_text("SIGTERM")
    yield orders
    sys.modules.pop("works", None)


def submitted_one_of_each(works, *names):
    for name in names:
        works("submit", f"works:{name}", "--run-id", name)
    return [f"works:{name}" for name in names]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_worker_that_is_stopped_says_what_it_did_and_gives_its_run_back(works, shop, name) -> None:
    (shop / "signal").write_text(name)
    pipelines = submitted_one_of_each(works, "good", "bad", "stops")
    before = signal.getsignal(getattr(signal, name))
    status, out, err = works("work", *pipelines)
    assert (status, out) == (SIGNALLED + getattr(signal, name), "")
    lines = [line for line in err.splitlines() if not line.startswith("  ")]
    assert lines == [
        "good: finished",
        "bad: OSError: no",
        "in step 'b'",
        "interrupted: cleaning up …",
        "1 finished, 1 failed",
    ]
    assert [line.split()[:3] for line in err.splitlines() if line.startswith("  ")] == [
        ["done", "good:", "a"],
        ["done", "good:", "good"],
        ["failed", "bad:", "b"],
        ["failed", "bad:", "bad"],
        ["cancelled", "stops:", "stop"],
        ["cancelled", "stops:", "stops"],
    ]
    assert err.splitlines()[-2].endswith("Ctrl-C" if name == "SIGINT" else name)
    records = json.loads(works("runs", "--json")[1])
    assert [record["status"] for record in records] == ["interrupted", "failed", "finished"]
    assert signal.getsignal(getattr(signal, name)) is before


def test_worker_that_is_quiet_says_only_what_it_did(works) -> None:
    pipelines = submitted_one_of_each(works, "good", "bad", "stops")
    status, out, err = works("work", *pipelines, "-q")
    assert (status, out) == (SIGNALLED + signal.SIGTERM, "")
    assert err == "interrupted: cleaning up …\n1 finished, 1 failed\n"


def test_worker_says_how_many_runs_wait_for_an_answer(works) -> None:
    pipelines = submitted_one_of_each(works, "waits", "good", "stops")
    _, _, err = works("work", *pipelines)
    assert [line for line in err.splitlines() if not line.startswith("  ")] == [
        "waits: waiting",
        "good: finished",
        "interrupted: cleaning up …",
        "1 finished, 0 failed, 1 waiting for an answer",
    ]


def test_worker_that_is_stopped_twice_cuts_the_clean_up_short(works) -> None:
    pipelines = submitted_one_of_each(works, "stops_twice")
    status, out, err = works("work", *pipelines, "-q")
    assert (status, out, err) == (SIGNALLED + signal.SIGINT, "", "interrupted: cleaning up …\n")


def test_worker_whose_store_can_not_be_used_says_so_in_one_line(works, shop) -> None:
    (shop / "runs.db").write_text("something else\n" * 100)
    status, out, err = works("work", "works:good", "--concurrency", "3")
    assert (status, out) == (FAILED, "")
    assert err == f"trio-steps: {str(shop / 'runs.db')!r} is not a database, or is damaged\n"


def test_worker_that_makes_no_sense_is_misuse(works) -> None:
    status, out, err = works("work", "works:good", "--concurrency", "0")
    assert (status, out) == (USAGE, "")
    assert "give the number of runs at the same time, 1 or more" in err


def test_resume_all_ends_with_the_run_that_is_interrupted(works, shop) -> None:
    for name in ("first", "second"):
        assert works("run", "works:mended_and_stopped", "--run-id", name, "-q")[0] == FAILED
    (shop / "mended").touch()
    status, _, err = works("resume", "works:mended_and_stopped", "--all", "-q")
    assert (status, err.splitlines()[0]) == (SIGNALLED + signal.SIGTERM, "first:")
    records = json.loads(works("runs", "--json")[1])
    assert [(record["run_id"], record["status"]) for record in records] == [
        ("second", "failed"),
        ("first", "cancelled"),
    ]
