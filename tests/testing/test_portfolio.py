"""What explorations try, in which order, and what they promise."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from places import DOCS

import trio_steps.testing
from trio_steps import ConfigError
from trio_steps.testing import (
    Probe,
    check_determinism,
    enumerate_schedules,
    explore,
    replay,
    run_once,
    sweep_cancellation,
    sweep_faults,
)
from trio_steps.testing._search.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Callable


async def three_sleeps(probe: Probe) -> None:
    for _ in range(3):
        await trio.sleep(1)


async def two_tasks(probe: Probe) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(three_sleeps, probe)


def test_sweep_cancels_at_every_point_once() -> None:
    """Before a task continues, and before time passes, in each of the three sleeps; and before the last one returns."""
    arrived: list[float] = []

    async def program(probe: Probe) -> None:
        try:
            await three_sleeps(probe)
        except trio.Cancelled:
            arrived.append(trio.current_time())
            raise

    report = sweep_cancellation(program)
    assert (report.points, report.runs, report.exhausted) == (7, 8, True)
    assert sorted(arrived) == [0, 0, 1, 1, 2, 2, 3]


async def two_tasks_in_time(probe: Probe) -> None:
    with trio.move_on_after(10):
        await two_tasks(probe)


def kinds_of_runs(monkeypatch: pytest.MonkeyPatch, program: Any, **options: Any) -> list[str]:
    """Explore `program`, and return the kind of each run."""
    tried: list[str] = []
    run = Bench.run

    def watched(self: Bench, recipe: Any, **options: Any) -> Any:
        schedule = type(options.get("schedule")).__name__
        done = "cancelled" if recipe.cancel_at is not None else "timed out" if recipe.expire_at is not None else ""
        order = {"Delays": f"delayed in {recipe.policy!r}", "Shuffled": "random"}.get(schedule, "")
        tried.append(" ".join(filter(None, [order, "reversed" if recipe.deviations else "", done])))
        return run(self, recipe, **options)

    monkeypatch.setattr(Bench, "run", watched)
    explore(program, **options)
    return tried


def test_explore_lets_every_kind_of_run_take_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = kinds_of_runs(monkeypatch, two_tasks_in_time, budget=80)
    assert tried[:2] == ["", ""]
    turns = [tried[start : start + 22] for start in range(2, 80, 22)]
    once = ["reversed", "delayed in 'batch'", "delayed in 'batch'"]
    assert turns[0] == ["cancelled"] * 10 + ["timed out"] * 5 + once + ["delayed in 'any'"] + [
        "random", "random cancelled", "random",
    ]  # fmt: skip
    assert turns[1][:10] == ["cancelled"] * 3 + ["timed out"] * 5 + ["delayed in 'any'"] * 2  # all points were tried
    assert "random timed out" in tried


def test_runs_of_a_smaller_budget_are_the_first_of_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(budget: int) -> list[Any]:
        recipes: list[Any] = []
        run = Bench.run

        def watched(self: Bench, recipe: Any, **options: Any) -> Any:
            recipes.append(run(self, recipe, **options).token)
            return run(self, recipe, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Bench, "run", watched)
            explore(two_tasks_in_time, budget=budget)
        return recipes

    longer = tried(120)
    for budget in (10, 37, 60):
        shorter = tried(budget)
        assert shorter == longer[: len(shorter)]


def test_failure_says_at_which_task_and_line_the_program_was_cancelled() -> None:
    async def opens_late(probe: Probe) -> None:
        await trio.sleep(1)
        conn = probe.resource("conn")
        await trio.sleep(1)  # HERE
        conn.close()

    async def program(probe: Probe) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opens_late, probe)
            nursery.start_soon(trio.sleep, 5)

    here = next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), 1) if "# HERE" in line)
    for report in (explore(program), sweep_faults(program)):
        assert report.failures[0].cancelled_at is not None
        task, place = report.failures[0].cancelled_at
        assert (task, str(place)) == ("opens_late", f"tests/testing/test_portfolio.py:{here}")


def test_every_run_is_a_trio_run_of_its_own() -> None:
    count: trio.lowlevel.RunVar[int] = trio.lowlevel.RunVar("count", 0)

    async def program(probe: Probe) -> int:
        count.set(count.get() + 1)
        await trio.sleep(1)
        return count.get()

    assert explore(program).ok
    assert run_once(program).value == 1


@pytest.mark.parametrize(
    "function",
    [explore, sweep_cancellation, sweep_faults, enumerate_schedules, check_determinism, run_once],
    ids=lambda function: function.__name__,
)
async def test_exploration_inside_of_a_trio_program_says_what_to_do(function: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match=r"'three_sleeps' can't be explored .* from a plain function"):
        function(three_sleeps)


async def test_replay_inside_of_a_trio_program_says_what_to_do() -> None:
    token = await trio.to_thread.run_sync(lambda: run_once(three_sleeps).token)
    with pytest.raises(RuntimeError, match="from a plain function"):
        replay(three_sleeps, token)


def test_fault_loses_nothing_that_was_received() -> None:
    async def program(probe: Probe) -> None:
        sent: list[int] = []
        got: list[int] = []
        send, receive = trio.open_memory_channel[int](0)
        probe.invariant(lambda: got == sent)

        async def produce() -> None:
            async with send:
                for number in range(3):
                    with suppress(OSError):
                        await send.send(number)
                        sent.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            while True:
                with suppress(OSError):
                    try:
                        got.append(await receive.receive())
                    except trio.EndOfChannel:
                        return

    sweep_faults(program, OSError).raise_if_failed()


def test_fault_in_a_task_that_is_starting_corrupts_nothing() -> None:
    async def service(*, task_status: trio.TaskStatus[str]) -> None:
        await trio.sleep(1)
        task_status.started("up")
        await trio.sleep(1)

    async def program(probe: Probe) -> str:
        async with trio.open_nursery() as nursery:
            return await nursery.start(service)

    report = sweep_faults(program, OSError)
    report.raise_if_failed()
    assert report.points == 2  # the waits of the service; the wait for its start ends with its nursery


@pytest.mark.parametrize("exc", [5, "OSError", int, KeyboardInterrupt, KeyboardInterrupt(), trio.Cancelled])
def test_fault_that_is_none_is_refused(exc: Any) -> None:
    with pytest.raises(ConfigError, match=r"^exc=.*(give an exception, its type|sweep_cancellation cancels)"):
        sweep_faults(trio.lowlevel.checkpoint, exc)


def test_fault_of_a_type_that_needs_arguments_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"exc=UnicodeDecodeError needs arguments: .* exc=lambda: UnicodeDecodeError"):
        sweep_faults(three_sleeps, UnicodeDecodeError)


def test_fault_may_come_from_a_function() -> None:
    raised: list[BaseException] = []

    async def program(probe: Probe) -> None:
        try:
            await three_sleeps(probe)
        except OSError as error:
            raised.append(error)
            raise

    assert sweep_faults(program, lambda: OSError(len(raised))).ok
    assert [error.args for error in raised] == [(0,), (1,), (2,)]


def test_library_itself_does_not_load_the_testing_package() -> None:
    program = "import sys, trio_steps; sys.exit('trio_steps.testing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_nothing_is_said_to_be_proved() -> None:
    package = Path(trio_steps.testing.__file__).parent
    page = DOCS / "testing.md"
    for file in [page, *package.glob("*.py")]:
        assert "prove" not in file.read_text(encoding="utf-8").lower(), file
