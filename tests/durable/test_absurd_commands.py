"""Each command of the command line that takes a store, with one in PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from trio_steps._cli.commands import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from postgresql_server import Database

pytestmark = pytest.mark.postgresql

SHOP = """
from pathlib import Path

from trio_steps import Pipeline

def fail_once():
    if not Path("was-here").exists():
        Path("was-here").touch()
        raise OSError("no")

order = (
    Pipeline("order")
    .step("charge", lambda order: {"receipt": f"R-{order}"})
    .wait_for("approval", provides="approved", of=bool)
    .step("ship", lambda approved: {"shipped": approved})
)
refund = Pipeline("refund").step(fail_once)
"""


@pytest.fixture
def command(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    (tmp_path / "absurd_shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*args: str, store: str = database.url) -> tuple[int, str]:
        status = main([*args, "--store", store])
        return status, capsys.readouterr().out

    yield run
    sys.modules.pop("absurd_shop", None)


@contextmanager
def worker(url: str, *pipelines: str) -> Iterator[None]:
    args = [sys.executable, "-m", "trio_steps", "work", *pipelines, "--store", url, "--concurrency", "2", "-q"]
    process = subprocess.Popen(args, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


def test_every_command_that_takes_a_store_takes_a_database(
    database: Database, command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    def of(run_id: str) -> dict[str, Any]:
        return json.loads(command("show", run_id, "--json")[1])

    def becomes(run_id: str, status: str) -> None:
        end = time.monotonic() + 30
        while of(run_id)["status"] != status:
            assert time.monotonic() < end
            time.sleep(0.05)

    for number in (1, 2, 3):
        args = ("absurd_shop:order", "--input", f'{{"order": {number}}}', "--run-id", f"order-{number}")
        assert command("submit", *args) == (0, f"order-{number}\n")
    assert command("submit", "absurd_shop:refund", "--run-id", "refund") == (0, "refund\n")
    assert command("cancel", "order-3") == (0, "")
    assert command("cancel", "order-3") == (1, "")
    with worker(database.url, "absurd_shop:order", "absurd_shop:refund"):
        becomes("order-1", "waiting")
        assert of("order-1")["waits for"] == {"approval": "as long as it takes"}
        assert command("answer", "order-1", "--set", "approved=1")[0] == 2
        assert command("answer", "order-1", "--set", "approved=true") == (0, "")
        becomes("order-1", "finished")
        becomes("refund", "failed")
        assert command("resume", "absurd_shop:refund", "--all") == (0, "{}\n")
        again = ("absurd_shop:order", "--run-id", "order-1")
        done = {"order": 1, "receipt": "R-1", "approved": True, "shipped": True}
        assert json.loads(command("resume", *again)[1]) == done
        assert json.loads(command("run", *again)[1]) == done
        becomes("order-2", "waiting")
    listed = json.loads(command("runs", "--json", "--status", "waiting,cancelled", "--pipeline", "order")[1])
    assert [(run["run_id"], run["status"]) for run in listed] == [("order-3", "cancelled"), ("order-2", "waiting")]
    assert command("delete", "order-3") == (0, "")
    assert command("delete", "order-3") == (2, "")
    assert command("prune", "--older-than", "1d") == (0, "")
    assert command("prune", "--keep", "1") == (0, "order-1\n")
    args = ("absurd_shop:order", "--input", '{"order": 4}', "--run-id", "order-4")
    assert command("submit", *args, store="runs.db") == (0, "order-4\n")
    assert command("move", "order-4", "--to", database.url, store="runs.db") == (0, "")
    assert of("order-4")["status"] == "submitted"
    assert command("move", "order-4", "--to", str(tmp_path / "runs.db"))[0] == 1  # Absurd can't claim by id
    assert of("order-4")["status"] == "submitted"
