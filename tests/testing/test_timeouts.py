"""One timeout fires alone: which can, at which points, what counts as wrong, and what does not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from trio_steps import ConfigError, StepTimeoutError, gather, race, step
from trio_steps.testing import Probe, explore, replay, sweep_timeouts

HERE = Path(__file__)


def line_of(mark: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.endswith(f"# {mark}"))


def expiries(program: Any, **options: Any) -> list[str]:
    """Sweep `program`, and return for each run which timeout the program says ended it."""
    ended: list[str] = []

    async def watched(probe: Probe) -> None:
        await program(probe, ended)

    report = sweep_timeouts(watched, **options)
    report.raise_if_failed()
    assert report.exhausted
    return ended[1:]


# which timeouts fire


def test_sweep_fires_every_timeout_at_every_point_alone() -> None:
    async def program(probe: Probe, ended: list[str]) -> None:
        with trio.move_on_after(50) as outer:
            with trio.move_on_after(20) as inner:
                await trio.sleep(1)
                await trio.sleep(1)
            now = trio.current_time()
        which = "outer" if outer.cancelled_caught else "inner" if inner.cancelled_caught else "none"
        ended.append(f"{which} at {f'{now:g}' if which == 'inner' else '?'}")

    ended = expiries(program)
    # in the first sleep, at its end, in the second, at its end: a sleep can still be cancelled at its end
    assert sorted(ended) == ["inner at 0", "inner at 1", "inner at 1", "inner at 2", *["outer at ?"] * 4]


def test_scope_without_a_deadline_is_left_alone() -> None:
    async def program(probe: Probe) -> None:
        with trio.CancelScope() as scope:
            await trio.sleep(1)
        assert not scope.cancelled_caught

    report = sweep_timeouts(program)
    assert (report.ok, report.runs, report.timeouts) == (True, 1, 0)


def test_sleep_is_no_timeout() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)
        await trio.sleep_until(5)
        assert trio.current_time() == 5

    assert sweep_timeouts(program).runs == 1


def test_deadline_that_is_set_later_counts_from_then_on() -> None:
    async def program(probe: Probe, ended: list[str]) -> None:
        with trio.CancelScope() as scope:
            await trio.sleep(1)
            scope.deadline = 20
            await trio.sleep(1)
            scope.deadline = float("inf")
            await trio.sleep(1)
        ended.append(f"{trio.current_time():g}")

    assert sorted(expiries(program)) == ["1", "2"]  # before time passes, and after


def test_nursery_with_a_deadline_is_a_timeout_until_it_is_left() -> None:
    async def program(probe: Probe, ended: list[str]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = 20
            nursery.start_soon(trio.sleep, 1)
        ended.append(f"nursery {nursery.cancel_scope.cancelled_caught}")
        await trio.sleep(1)
        await trio.sleep(1)

    ended = expiries(program)
    assert ended.count("nursery True") == 3
    assert set(ended) <= {"nursery True", "nursery False"}


def test_scope_that_another_task_entered_fires_in_that_task() -> None:
    async def program(probe: Probe, ended: list[str]) -> None:
        async def waits(name: str) -> None:
            with trio.move_on_after(9) as scope:
                await trio.sleep(1)
            if scope.cancelled_caught:
                ended.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, "one")
            nursery.start_soon(waits, "other")
        ended.append("")

    assert {name for name in expiries(program) if name} == {"one", "other"}


@pytest.mark.parametrize("order", ["trio", "any"])
def test_timeout_fires_between_batches_of_trio_first_and_then_amid_them(order: str) -> None:
    """In Trio, a timeout that fires during a batch does not reach a task that is woken in that batch."""

    async def program(probe: Probe) -> None:
        event = trio.Event()
        scope = trio.CancelScope(deadline=9)
        seen: list[bool] = []

        async def waits() -> None:
            with scope:
                await event.wait()

        async def looks() -> None:
            await trio.sleep(1)
            seen.append(scope.cancel_called)

        async def sets() -> None:
            await trio.sleep(1)
            event.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            nursery.start_soon(looks)
            nursery.start_soon(sets)
        assert not scope.cancelled_caught or seen[0] is (order == "any")

    failure = sweep_timeouts(program).failures[0]
    assert failure.policy == ("any" if order == "any" else "trio")


# what counts as wrong


async def leaks(probe: Probe) -> None:
    slots = probe.watch(trio.CapacityLimiter(1))

    async def works() -> None:
        with trio.move_on_after(5):  # SET
            await slots.acquire_on_behalf_of("x")
            await trio.sleep(1)  # HERE
            slots.release_on_behalf_of("x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(works)
        await trio.sleep(0.5)


def test_failure_says_which_timeout_fired_where_it_was_set_and_whom_it_met() -> None:
    failure = sweep_timeouts(leaks).failures[0]
    assert failure.invariant == "lock"
    name = f"tests/testing/{HERE.name}"
    assert failure.expired == f"a timeout in task works, set at {name}:{line_of('SET')} in works,"
    text = str(failure)
    assert f"when {failure.expired} fires at point 2, and no other does, after works got to" in text
    assert f"the cancellation first reached works at {name}:{line_of('HERE')} in works" in text
    assert f"0  THE TIMEOUT SET AT {name}:{line_of('SET')} EXPIRES" in text


def test_token_of_a_timeout_replays_it() -> None:
    failure = sweep_timeouts(leaks).failures[0]
    assert ",t2.2:" in failure.token
    run = replay(leaks, failure.token)
    assert (run.token, run.expired, run.notes) == (failure.token, failure.expired, ())
    assert [finding.key for finding in run.findings] == [failure.finding.key]


def test_explore_lets_timeouts_fire_alone_too() -> None:
    """The bug does not show when the whole program is cancelled."""

    async def program(probe: Probe) -> None:
        free = 1

        async def works() -> None:
            nonlocal free
            with trio.move_on_after(5):
                free -= 1
                await trio.sleep(1)
                free += 1

        await works()
        assert free, "no slot is left for the next one"

    failure = explore(program).failures[0]
    assert "no slot is left" in failure.finding.message
    assert failure.expired is not None


def test_swallowed_timeout_is_found() -> None:
    async def program(probe: Probe) -> str:
        with trio.move_on_after(5):
            try:  # noqa: SIM105
                await trio.sleep(1)
            except trio.Cancelled:
                pass
        return "done"

    failure = sweep_timeouts(program).failures[0]
    assert failure.finding.message.startswith("swallowed: Cancelled of a timeout in task program")


def test_masked_timeout_is_found() -> None:
    async def program(probe: Probe) -> None:
        with trio.move_on_after(5):
            try:
                await trio.sleep(1)
            except trio.Cancelled:
                raise OSError("gone") from None

    failure = sweep_timeouts(program).failures[0]
    assert failure.finding.message.startswith("masked: Cancelled reached program at tests/testing/test_timeouts.py:")


def test_cancelled_of_a_timeout_in_the_result_is_found() -> None:
    async def program(probe: Probe) -> Any:
        kept: list[BaseException] = []
        with trio.move_on_after(5):
            try:
                await trio.sleep(1)
            except trio.Cancelled as error:
                kept.append(error)
                raise
        return kept

    assert sweep_timeouts(program, values="any").failures[0].finding.message.startswith("stored")


def test_timeout_of_another_scope_that_comes_of_it_is_found() -> None:
    """The second request waits for a slot that the first has lost. Its own timeout is a symptom, not an excuse."""

    async def program(probe: Probe) -> None:
        slots = trio.Semaphore(1)

        async def request() -> None:
            with trio.fail_after(60):
                await slots.acquire()
            with trio.move_on_after(5):
                await trio.sleep(1)
                slots.release()

        await request()
        await request()
        await slots.acquire()
        slots.release()

    messages = [failure.finding.message for failure in sweep_timeouts(program).failures]
    assert "the program raised TooSlowError()" in messages


# what is not wrong


@pytest.mark.parametrize("fail_after", [trio.fail_after, anyio.fail_after], ids=["trio", "anyio"])
def test_error_of_the_timeout_that_fired_is_allowed(fail_after: Any) -> None:
    async def program(probe: Probe) -> None:
        with trio.move_on_after(0.1):
            await trio.sleep(1)
        with fail_after(5):
            await trio.sleep(1)

    assert sweep_timeouts(program).ok


def test_error_that_comes_of_the_timeout_that_fired_is_allowed() -> None:
    async def program(probe: Probe) -> None:
        try:
            with trio.fail_after(5):
                await trio.sleep(1)
        except trio.TooSlowError as error:
            raise ConnectionError("no answer") from error

    assert sweep_timeouts(program).ok


async def slow() -> str:
    await trio.sleep(1)
    return "slow"


def test_timeout_of_a_step_is_told_by_the_name_of_the_step_and_its_error_is_allowed() -> None:
    async def program(probe: Probe) -> Any:
        return await step(slow, timeout=5).run()

    report = sweep_timeouts(program)
    report.raise_if_failed()
    assert report.timeouts > 0

    async def catches(probe: Probe) -> Any:
        try:
            return await step(slow, timeout=5).run()
        except trio.TooSlowError:
            return "late"

    expired = sweep_timeouts(catches).failures[0].expired
    assert expired is not None
    assert expired.startswith("the timeout of step 'slow' in task catches, set at tests/testing/test_timeouts.py:")


def test_timeout_of_a_fork_is_a_timeout_and_its_error_is_allowed() -> None:
    async def program(probe: Probe) -> Any:
        return await gather([slow, slow], timeout=5)

    report = sweep_timeouts(program)
    report.raise_if_failed()
    assert report.timeouts > 0


def test_stagger_of_a_race_is_a_timeout() -> None:
    async def program(probe: Probe) -> Any:
        return await race([slow, slow], stagger=0.5)

    report = sweep_timeouts(program)
    report.raise_if_failed()
    assert report.timeouts > 0


def test_scopes_in_exit_stacks_and_generators_are_seen() -> None:
    @contextlib.contextmanager
    def in_time() -> Any:
        with trio.fail_after(20):
            yield

    async def program(probe: Probe, ended: list[str]) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(in_time())
            await trio.sleep(1)
            ended.append("in time")

    async def watched(probe: Probe) -> None:
        await program(probe, [])

    assert sweep_timeouts(watched).timeouts == 2


# what it returns


async def answer_or_none(probe: Probe) -> str | None:
    with trio.move_on_after(5):
        return await slow()
    return None


def test_value_that_only_a_timeout_leads_to_is_found_once() -> None:
    report = sweep_timeouts(answer_or_none)
    [failure] = report.failures
    assert failure.invariant == "timeout-value"
    assert "fired, the program returned None; undisturbed, it returns 'slow'" in str(failure)
    assert 'give values="any"' in str(failure)


def test_every_value_that_only_a_timeout_leads_to_is_a_finding_of_its_own() -> None:
    async def program(probe: Probe) -> int:
        done = 0
        with trio.move_on_after(50):
            for _ in range(2):
                await trio.sleep(1)
                done += 1
        return done

    messages = [failure.finding.message for failure in sweep_timeouts(program).failures]
    assert [message.split("returned ")[1][0] for message in messages] == ["0", "1"]


def test_value_is_no_finding_if_the_same_order_of_tasks_leads_to_it_undisturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returned: set[str] = set()

    async def program(probe: Probe) -> str:
        order: list[str] = []

        async def append(name: str) -> None:
            order.append(name)
            with trio.move_on_after(5):  # this changes nothing
                await slow()

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(append, name)
        returned.add("".join(order))
        return "".join(order)

    monkeypatch.setattr("trio_steps.testing._search.bench._KNOWN", 1)  # remember only one value
    report = explore(program)
    assert report.ok
    assert len(returned) == 6


def test_value_may_be_any_or_what_a_predicate_likes() -> None:
    assert sweep_timeouts(answer_or_none, values="any").ok
    assert sweep_timeouts(answer_or_none, values=lambda value: value is None).ok
    assert not sweep_timeouts(answer_or_none, values=lambda value: value == "other").ok
    assert explore(answer_or_none, values="any").ok
    with pytest.raises(ConfigError, match=r"""^values='none': give "undisturbed", "any", or a function"""):
        sweep_timeouts(answer_or_none, values="none")


def test_report_says_how_many_timeouts_there_are_and_how_many_fired() -> None:
    report = sweep_timeouts(leaks, budget=2)
    assert (report.timeouts, report.exhausted, report.stopped) == (2, False, "the budget")
    assert "2 of 5 lone timeouts" in report.what
    assert "5 of 5 lone timeouts" in explore(leaks).what


def test_error_of_a_step_is_known_by_the_name_of_the_step_though_others_were_too_slow_as_well() -> None:
    async def program(probe: Probe) -> Any:
        with trio.move_on_after(0.5):
            await trio.sleep(1)
        return await step(slow, timeout=5).run()

    sweep_timeouts(program).raise_if_failed()


def test_timeout_of_another_step_is_a_finding_though_one_was_made_to_fire() -> None:
    async def program(probe: Probe) -> None:
        event = trio.Event()

        async def sets() -> None:
            await trio.sleep(0.5)
            event.set()

        with contextlib.suppress(StepTimeoutError):
            await step(sets, id="sets", timeout=10)()
        await step(event.wait, id="waits", timeout=5)()  # a greater name

    failures = sweep_timeouts(program).failures
    assert [str(failure.finding.error) for failure in failures] == ["'waits' timed out after 5 s"]
