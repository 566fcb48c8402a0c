"""The approval example, as two processes, one of which is killed again and again: it ends with one charge."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from trio_steps._cli.commands import main

if TYPE_CHECKING:
    import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_order_that_is_killed_at_random_is_charged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *sys.path])}
    base = [sys.executable, "-m", "trio_steps"]

    def steps(*arguments: str) -> str:
        assert main([*arguments, "--store", "runs.db"]) == 0
        return capsys.readouterr().out

    def status() -> str:
        return str(json.loads(steps("show", "order-42", "--json"))["status"])

    def work(seconds: float | None) -> str:
        """Work until killed after this time, or until there is nothing left to do."""
        command = [*base, "work", "approval:order", "--store", "runs.db", "-q"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as worker:
            if seconds is None:
                while status() in ("submitted", "running", "interrupted"):
                    time.sleep(0.02)
            else:
                time.sleep(seconds)
            os.kill(worker.pid, signal.SIGKILL)
        return status()

    generator = random.Random(42)
    monkeypatch.syspath_prepend(EXAMPLES)
    steps("submit", "approval:order", "--input", '{"order": 42}', "--run-id", "order-42")
    for _ in range(2):
        work(generator.uniform(0.3, 1.2))
    assert work(None) == "waiting"
    steps("answer", "order-42", "--set", "approved=true")
    work(generator.uniform(0.3, 1.2))
    now = status()
    while now == "waiting" or now in ("running", "interrupted"):
        now = work(1 if now == "waiting" else None)
    assert now == "finished"
    assert [path.name for path in (tmp_path / "charges").iterdir()] == ["order-order-42-prepare-payment-charge"]
