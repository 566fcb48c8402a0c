"""Ctrl-C in a program whose paths run in a pool of processes: a real signal, to the whole group."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """\
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import trio

from trio_steps.executors import on_executor


def work(folder):
    Path(folder, "began").touch()
    while not Path(folder, "gate").exists():
        time.sleep(0.01)
    Path(folder, "ended").touch()


if __name__ == "__main__":
    method, when, folder = sys.argv[1:]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        if when == "before":
            pool.submit(abs, -1).result()
        try:
            trio.run(on_executor(pool, work), folder)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""
METHODS = [method for method in ("spawn", "forkserver", "fork") if method in multiprocessing.get_all_start_methods()]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a signal can't be sent to a group of processes")


def start(folder: Path, method: str, when: str) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, script, method, when, folder],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # workers of the standard library print their tracebacks
        text=True,
    )
    while not (folder / "began").exists():
        assert running.poll() is None
        time.sleep(0.01)
    return running


@pytest.mark.parametrize(
    ("method", "when"),
    [*((method, "inside") for method in METHODS if method != "fork"), *((method, "before") for method in METHODS)],
)
def test_ctrl_c_ends_calls_in_processes_that_know_nothing_of_trio(tmp_path: Path, method: str, when: str) -> None:
    with start(tmp_path, method, when) as running:
        os.killpg(running.pid, signal.SIGINT)
        assert running.communicate(timeout=60)[0] == "interrupted\n"
    assert not (tmp_path / "ended").exists()


@pytest.mark.skipif("fork" not in METHODS, reason="there is no fork here")
def test_ctrl_c_does_not_reach_a_process_that_was_forked_inside_of_trio_run(tmp_path: Path) -> None:
    with start(tmp_path, "fork", "inside") as running:
        os.killpg(running.pid, signal.SIGINT)
        (tmp_path / "gate").touch()
        assert running.communicate(timeout=60)[0] == "interrupted\n"
    assert (tmp_path / "ended").exists()
