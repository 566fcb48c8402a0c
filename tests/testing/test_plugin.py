"""The pytest plugin, in a separate pytest run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trio_steps import ConfigError
from trio_steps.testing._fixture import refuse_async_fixture

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def only_the_plugins_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load only named plugins in the processes that tests start, because loading all takes longer than the test."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


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


TWO = """
import trio

async def first(probe):
    conn = probe.resource("conn")
    await trio.sleep(1)
    conn.close()

async def second(probe):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)

def test_first(explore):
    explore(first)

def test_second(explore):
    print(explore(second))
"""


def run_file(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_inprocess("-p", "_trio_steps_pytest", "-p", "no:trio", "-p", "no:anyio", "-rP", *options)


def test_replay_option_touches_only_the_test_that_the_token_is_of(pytester: pytest.Pytester) -> None:
    token = run_file(pytester, TWO).stdout.str().split("--steps-replay=")[1].split()[0]
    result = run_file(pytester, TWO, f"--steps-replay={token}")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*first: 1 found in 1 runs (the run of a token); stopped by the end of that run*"])
    result.stdout.fnmatch_lines(["second: nothing found in 7 runs*"])


MANY = """
import pytest, trio

def made(leaks):
    async def program(probe):
        await trio.sleep(leaks)
        if leaks == 2:
            probe.resource("conn")
    return program

@pytest.mark.parametrize("leaks", [0, 1, 2])
def test_many(explore, leaks):
    print(explore(made(leaks)))
"""


def test_replay_option_touches_one_of_many_tests_whose_programs_have_one_name(pytester: pytest.Pytester) -> None:
    token = run_file(pytester, MANY, "-k", "2").stdout.str().split("--steps-replay=")[1].split()[0]
    result = run_file(pytester, MANY, f"--steps-replay={token}")
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(
        ["E*program: 1 found in 1 runs (the run of a token); stopped by *", f"*--steps-replay={token}"]
    )
    result.stdout.fnmatch_lines(["program: nothing found in 4 runs*", "program: nothing found in 5 runs*"])


def test_token_that_was_made_outside_of_a_test_is_of_every_program_of_that_name(pytester: pytest.Pytester) -> None:
    plain = MANY.replace("(explore, leaks)", "(leaks)").replace(
        "import pytest", "from trio_steps.testing import explore\nimport pytest"
    )
    token = run_file(pytester, plain, "-k", "2", "-s").stdout.str().split("--steps-replay=")[1].split()[0]
    result = run_file(pytester, MANY, f"--steps-replay={token}", "-W", "ignore")
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["program: nothing found in 1 runs (the run of a token)*"] * 2)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_replay_option_says_whether_it_has_touched_a_test(pytester: pytest.Pytester, workers: str) -> None:
    token = run_file(pytester, TWO).stdout.str().split("--steps-replay=")[1].split()[0]
    command = ("-p", "_trio_steps_pytest", "-p", "xdist", "-n", workers, f"--steps-replay={token}")
    touched = pytester.runpytest_subprocess(*command)
    touched.assert_outcomes(failed=1, passed=1)
    touched.stdout.no_fnmatch_line("*no test that ran explores the program*")
    not_touched = pytester.runpytest_subprocess(*command, "-k", "second")
    not_touched.stdout.fnmatch_lines([f"--steps-replay={token}: no test that ran explores the program that *"])


def test_replay_option_that_is_damaged_fails_every_test_that_explores(pytester: pytest.Pytester) -> None:
    result = run_file(pytester, TWO, "--steps-replay=s1:0.35")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E*TokenError: token 's1:0.35' is damaged: *"])


def test_replay_option_says_that_the_run_has_come_to_differ(pytester: pytest.Pytester) -> None:
    token = run_file(pytester, TWO).stdout.str().split("--steps-replay=")[1].split()[0]
    repaired = TWO.replace("await trio.sleep(1)\n    conn.close()", "conn.close()")
    result = run_file(pytester, repaired, f"--steps-replay={token}", "-k", "first", "-W", "default")
    result.assert_outcomes(passed=1, deselected=1, warnings=1)
    result.stdout.fnmatch_lines([f"*--steps-replay={token}: the program ran differently when this token was made*"])


ASYNC_FIXTURE = """
import pytest, trio

@pytest.fixture
async def server():
    yield "server"

def test_it(explore, server):
    explore(lambda probe: trio.sleep(1))
"""


@pytest.mark.parametrize(
    "plugins",
    [["-p", "pytest_trio.plugin"], ["-p", "anyio.pytest_plugin"], []],
    ids=["pytest-trio", "anyio", "neither"],
)
def test_async_fixture_of_a_test_that_explores_is_refused_with_what_to_do(
    pytester: pytest.Pytester, plugins: list[str]
) -> None:
    pytester.makepyfile(ASYNC_FIXTURE)
    result = pytester.runpytest_subprocess("-p", "_trio_steps_pytest", *plugins)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'server' is async, but a test that explores is not: *"])
    result.stdout.fnmatch_lines(["*`async with server() as *"])


def test_async_fixture_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^fixture 'server' is async, .*: `async with server\(\) as …:`$"):
        refuse_async_fixture("server")


def test_explorations_run_in_parallel(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "_trio_steps_pytest", "-p", "xdist", "-n", "2", "--steps-budget=20")
    result.assert_outcomes(passed=2, failed=1)


def test_ctrl_c_shows_what_was_found(pytester: pytest.Pytester) -> None:
    interrupted = """
    async def program(probe):
        global runs
        runs += 1
        if runs == 5:
            raise KeyboardInterrupt
        probe.resource("conn")

    runs = 0

    def test_it(explore):
        explore(program)
    """
    pytester.makepyfile(interrupted)
    result = pytester.runpytest_subprocess("-p", "_trio_steps_pytest", "-p", "no:trio")
    result.stdout.fnmatch_lines(["program: 1 found in 5 runs (*); stopped by Ctrl-C"])
