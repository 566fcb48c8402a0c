"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

TESTS = """
import trio

def test_buggy(explore):
    async def program(probe):
        conn = probe.resource("conn")
        await trio.sleep(1)
        conn.close()

    explore(program, budget=50, seed=1)

def test_fine(explore):
    async def fine(probe):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            nursery.start_soon(trio.sleep, 1)
    print(explore(fine))

def test_clock(virtual_clock):
    trio.run(trio.sleep, 1000, clock=virtual_clock)
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makepyfile(TESTS)
    return pytester.runpytest_inprocess("-p", "_trio_steps_pytest", "-p", "no:trio", "-rP", *options)


def test_explore_fixture_raises_what_it_finds(pytester: pytest.Pytester) -> None:
    result = run(pytester)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*RESOURCE: 'conn', opened by task program*", "*pytest --steps-replay=s1:*"])


def test_budget_option_is_a_number_of_runs_or_of_seconds(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--steps-budget=7", "-k", "fine")
    result.stdout.fnmatch_lines(["*nothing found in 7 runs*"])
    result = run(pytester, "--steps-budget=0s", "-k", "fine")
    result.stdout.fnmatch_lines(["*stopped by the budget of time*"])
    result = run(pytester, "--steps-budget=many", "-k", "fine")
    result.stdout.fnmatch_lines(["*give a number of runs, 5000, or of seconds, 60s*"])


def test_replay_option_replays_the_token_in_a_new_process(pytester: pytest.Pytester) -> None:
    text = run(pytester, "-k", "buggy").stdout.str()
    token = text.split("--steps-replay=")[1].split()[0]
    spec = importlib.util.find_spec("_trio_steps_pytest")  # not imported: pytest loads it itself
    assert spec is not None
    assert spec.origin is not None
    environment = {**os.environ, "PYTHONPATH": str(Path(spec.origin).parent)}
    command = [sys.executable, "-m", "pytest", "-p", "_trio_steps_pytest", "-p", "no:trio", "-k", "buggy"]
    again = subprocess.run(
        [*command, f"--steps-replay={token}"],
        capture_output=True,
        text=True,
        cwd=pytester.path,
        check=False,
        env=environment,
    )
    assert "RESOURCE: 'conn', opened by task program" in again.stdout, again.stdout + again.stderr
    assert token in again.stdout


def test_replay_option_raises_what_the_run_shows(pytester: pytest.Pytester) -> None:
    token = run(pytester, "-k", "buggy").stdout.str().split("--steps-replay=")[1].split()[0]
    result = run(pytester, "-k", "buggy", f"--steps-replay={token}")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(["*RESOURCE: 'conn', opened by task program*"])


def test_replay_of_a_token_that_finds_nothing_passes(pytester: pytest.Pytester) -> None:
    text = run(pytester, "-k", "buggy").stdout.str()
    token = text.split("--steps-replay=")[1].split()[0]
    run(pytester, "-k", "fine", f"--steps-replay={token}").assert_outcomes(passed=1, deselected=2)
