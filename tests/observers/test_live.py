"""The tree of runs that a live display draws, and its bounded memory."""

from __future__ import annotations

import gc

import pytest
import trio
from paths import never, raises, returns

from trio_steps import (
    CircuitBreaker,
    ForkPartialError,
    Pipeline,
    RateLimit,
    Retry,
    StepStarted,
    StepSucceeded,
    fork,
    gather,
    otherwise,
    race,
    settle,
    step,
    when,
)
from trio_steps._core.scope import scope_of
from trio_steps._observers.live import LiveRow, Tree


def drawn(tree, *, room=60, is_live=False):
    """The lines to draw: name and status, or the number of further rows, indented by depth."""
    return [
        f"{'':{2 * depth}}{row.label} {row.status}" if rest is None else f"{'':{2 * depth}}… {dict(+rest)}"
        for depth, row, rest in tree.lines(room, is_live=is_live)
    ]


def row_of(tree, name):
    [row] = {line.row for line in tree.lines(1000, is_live=False) if line.rest is None and line.row.name == name}
    return row


def kept_rows():
    gc.collect()
    return sum(type(thing) is LiveRow for thing in gc.get_objects())


async def test_tree_has_paths_inside_their_fork_in_the_order_of_their_starts():
    tree = Tree()
    inner = fork("inner", mode="all", paths=[returns(0.5, "c"), returns(0.25, "d")])
    await gather(returns(2, "a"), inner, returns(1, "b"), observers=[tree])
    assert drawn(tree) == [
        "gather succeeded",
        "  a succeeded",
        "  inner succeeded",
        "    c succeeded",
        "    d succeeded",
        "  b succeeded",
    ]


async def test_tree_tells_runs_of_one_name_apart():
    tree = Tree()

    async def twice():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step(lambda: gather(returns(1, "a")), id="same"))
            await trio.sleep(0.25)
            nursery.start_soon(step(lambda: gather(returns(0.5, "b")), id="same"))

    await step(twice).run(observers=[tree])
    assert drawn(tree) == [
        "twice succeeded",
        "  same succeeded",
        "    gather succeeded",
        "      a succeeded",
        "  same succeeded",
        "    gather succeeded",
        "      b succeeded",
    ]


async def test_tree_has_the_steps_of_a_branch_in_the_row_of_the_branch():
    tree = Tree()
    flow = Pipeline("flow").branch_on(
        "plan",
        when(lambda: True, lambda case: case.step("bill", lambda: None), name="paid"),
        otherwise(lambda case: case.step("thank", lambda: None)),
    )
    await flow.run({}, observers=[tree])
    assert drawn(tree) == ["flow succeeded", "  plan succeeded", "    paid/bill succeeded"]


async def test_tree_has_a_step_whose_condition_does_not_hold():
    tree = Tree()
    await Pipeline("flow").step("a", lambda: None, condition=lambda: False).run({}, observers=[tree])
    assert drawn(tree) == ["flow succeeded", "  a skipped"]
    row = row_of(tree, "a")
    assert (row.attempts, row.took, row.text) == (0, 0.0, "its condition does not hold")


async def test_tree_tells_who_won_and_why_the_others_ended():
    tree = Tree()
    await race(returns(1, "a"), never, returns(1, "b"), concurrency=2, observers=[tree])
    assert drawn(tree) == ["race succeeded", "  a succeeded", "  never cancelled", "  b queued"]
    a, loser, queued = (row_of(tree, f"race/{id}") for id in ("a", "never", "b"))
    assert (a.won, a.took, a.text) == (True, 1.0, "")
    assert (loser.won, loser.took, loser.attempts, loser.text) == (False, 1.0, 1, "path 'a' won")
    assert (queued.took, queued.attempts, queued.text) == (0.0, 0, "path 'a' won")


async def test_row_counts_attempts_and_has_the_last_error():
    tree = Tree()
    flaky = step(raises(1, OSError("down")), retry=Retry(3, delay=0.25), id="flaky")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: settle(flaky, observers=[tree]))
        await trio.sleep(1.125)
        row = row_of(tree, "settle/flaky")
        assert (row.status, row.attempts, row.text) == ("running", 2, "OSError: down")
    assert (row.status, row.attempts, row.took, row.text) == ("failed", 3, 3.5, "OSError: down")


async def test_row_says_what_it_waited_for_and_what_became_of_its_circuit_breaker():
    tree = Tree()
    breaker = CircuitBreaker(1, cooldown=1)
    token, rate = trio.CapacityLimiter(1), RateLimit(1, per=2.0)
    await gather(step(returns(1, "a"), limiter=token), step(returns(1, "b"), limiter=token), observers=[tree])
    assert [row_of(tree, f"gather/{id}").note for id in "ab"] == ["", "waited 1 s for a token of its limiter"]
    await settle(step(raises(0, OSError("down")), circuit_breaker=breaker, id="down"), observers=[tree])
    await trio.sleep(1)
    assert row_of(tree, "settle/down").note == "circuit breaker opened"
    up = step(returns(0, "up"), circuit_breaker=breaker, rate=rate)
    await rate.acquire()
    await race(up, observers=[tree])
    assert row_of(tree, "race/up").note == "waited 2 s for a permit of its rate; circuit breaker closed"


async def test_row_of_an_error_without_a_message_has_its_type():
    tree = Tree()
    await settle(raises(1, OSError()), observers=[tree])
    assert row_of(tree, "settle/bad").text == "OSError"


async def test_row_keeps_the_beginning_of_a_long_message():
    tree = Tree()
    await settle(raises(1, OSError("x" * 1000)), observers=[tree])
    assert row_of(tree, "settle/bad").text == "OSError: " + "x" * 191


async def test_step_that_outlives_the_one_it_began_in_moves_out_of_it():
    tree = Tree()
    async with trio.open_nursery() as nursery:

        async def parent():
            nursery.start_soon(step(returns(2, "child"), id="child"))
            await trio.sleep(1)

        async def around():
            await step(parent)()
            await trio.sleep(0.5)
            assert drawn(tree) == ["around running", "  parent succeeded", "  parent/child running"]
            await trio.sleep(2)

        await step(around).run(observers=[tree])
    assert drawn(tree) == ["around succeeded", "  parent succeeded", "  parent/child succeeded"]


async def test_tree_knows_the_slowest_and_the_fastest_step_with_none_inside():
    tree = Tree()
    await settle(
        returns(1, "fast"), returns(2, "slow"), raises(3, OSError()), raises(0.5, OSError(), id="f"), observers=[tree]
    )
    assert (tree.slowest, tree.fastest) == ((3.0, "settle/bad"), (1.0, "settle/fast"))


async def test_cancelled_step_is_neither_the_slowest_nor_the_fastest():
    tree = Tree()
    with trio.move_on_after(1):
        await race(never, observers=[tree])
    assert (tree.slowest, tree.fastest) == (None, None)


async def test_tree_knows_when_its_first_and_last_event_were():
    tree = Tree()
    await trio.sleep(1)
    await gather(returns(2, "a"), observers=[tree])
    await trio.sleep(1)
    assert (tree.first, tree.last) == (1.0, 3.0)


async def test_paths_of_a_fork_that_is_tried_again_are_counted_again():
    tree = Tree()
    flow = Pipeline("flow").step("both", raises(2, OSError()), returns(1, None, id="a"), retry=Retry(2, delay=0))
    with pytest.raises(ForkPartialError):
        await flow.run({}, observers=[tree])
    attempt = ["    bad failed", "    a succeeded"]
    assert drawn(tree) == ["flow failed", "  both failed", *attempt, *attempt]
    assert row_of(tree, "both").paths == 4


async def test_step_that_its_open_breaker_skips_is_over():
    tree = Tree()
    breaker = CircuitBreaker(failure_threshold=1, cooldown=9, on_open="skip")
    guarded = step(raises(1, OSError("down")), circuit_breaker=breaker, id="guarded")
    with pytest.raises(OSError, match="down"):
        await guarded.run(observers=[tree])
    await guarded.run(observers=[tree])
    assert drawn(tree) == ["guarded failed", "guarded skipped"]


async def test_event_that_comes_twice_counts_once(caplog):
    tree = Tree()
    await gather(returns(1, "a"), observers=[tree, lambda event: tree(event)])
    assert drawn(tree) == ["gather succeeded", "  a succeeded"]
    assert (tree.count, tree.fastest) == (2, (1.0, "gather/a"))
    assert not caplog.records  # else it was dropped


async def test_observer_that_is_given_twice_counts_once(caplog):
    tree = Tree()
    await step(lambda: gather(returns(1, "a"), observers=[tree]), id="outer").run(observers=[tree])
    assert drawn(tree) == ["outer succeeded", "  gather succeeded", "    a succeeded"]
    assert (tree.count, tree.fastest) == (3, (1.0, "outer/gather/a"))
    assert not caplog.records  # else it was dropped


async def test_step_that_starts_the_next_one_may_do_so_thousands_of_times(caplog):
    tree, before = Tree(), kept_rows()

    @step
    async def again(left):
        if left:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(again, left - 1)

    await again.run(2000, observers=[tree])
    assert tree.count == 2001
    assert kept_rows() - before <= 1000
    assert not caplog.records  # else it was dropped


# What is drawn of many


async def test_twelve_paths_are_drawn_and_thirteen_are_not():
    twelve, thirteen = Tree(), Tree()
    await gather(*(returns(1 + n, n) for n in range(12)), observers=[twelve])
    await gather(*(returns(1 + n, n) for n in range(13)), observers=[thirteen])
    assert drawn(twelve) == ["gather succeeded", *(f"  {n} succeeded" for n in range(12))]
    assert drawn(thirteen) == ["gather succeeded", *(f"  {n} succeeded" for n in range(2, 13)), "  … {'succeeded': 2}"]


async def test_steps_of_a_pipeline_are_all_drawn_in_the_end():
    tree = Tree()
    flow = Pipeline("flow")
    for n in range(100):
        flow = flow.step(f"s{n}", returns(1, None))
    flow = flow.step("no", lambda: None, condition=False)
    await flow.step("both", *[step(lambda: None, id=f"m{n}") for n in range(60)]).run({}, observers=[tree])
    steps = [f"  s{n} succeeded" for n in range(100)]
    members = [f"    m{n} succeeded" for n in range(60)]
    assert drawn(tree, room=10) == ["flow succeeded", *steps, "  no skipped", "  both succeeded", *members]


async def test_steps_of_a_pipeline_share_the_screen_while_it_runs():
    tree = Tree()
    flow = Pipeline("flow")
    for n in range(100):
        flow = flow.step(f"s{n}", returns(1, None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: flow.run({}, observers=[tree]))
        await trio.sleep(50.5)
        assert drawn(tree, room=5, is_live=True) == ["flow running", "  s50 running", "  … {'succeeded': 50}"]
        nursery.cancel_scope.cancel()


async def test_steps_of_very_many_pipelines_are_forgotten_with_time():
    tree = Tree()
    flow = Pipeline("flow")
    for n in range(100):
        flow = flow.step(f"s{n}", lambda: None)
    for _ in range(40):
        await flow.run({}, observers=[tree])
    assert len(drawn(tree, room=9999)) < 1100


async def test_winner_of_many_is_drawn():
    tree = Tree()
    await race(*[never] * 60, returns(1, "last"), observers=[tree])
    assert drawn(tree)[-2:] == ["  last succeeded", "  … {'cancelled': 50}"]


async def test_lines_keep_to_the_room_there_is():
    tree = Tree()
    forks = [fork(f"f{n}", mode="all", paths=[returns(1 + m, m) for m in range(10)]) for n in range(10)]
    await gather(*forks, observers=[tree])
    lengths = [len(tree.lines(room, is_live=False)) for room in (1, 5, 10, 36, 37, 110, 111, 112)]
    assert lengths == [1, 5, 10, 10, 37, 37, 111, 111]


async def test_live_tree_of_many_paths_has_those_that_run_that_failed_and_that_won():
    tree = Tree()
    paths = [returns(1 + n / 100, n) for n in range(30)]
    paths[3] = raises(0.5, OSError(), id="bad")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: settle(paths, concurrency=5, observers=[tree]))
        await trio.sleep(2.25)
        running = [f"  {n} running" for n in range(10, 15)]
        assert drawn(tree, is_live=True) == ["settle running", "  bad failed", *running, "  … {'succeeded': 9}"]
        slowest = [f"  {n} succeeded" for n in range(5, 10)]
        assert drawn(tree) == ["settle running", "  bad failed", *slowest, *running, "  … {'succeeded': 4}"]


# What is kept of many


async def nothing():
    pass


async def test_rows_of_a_wide_fork_are_not_kept():
    tree = Tree()
    before = kept_rows()
    many = fork("many", mode="all", paths=lambda: (nothing for _ in range(2_000)), concurrency=10, merge=len)
    assert await many.run(observers=[tree]) == 2_000
    assert (tree.count, kept_rows() - before) == (2_001, 51)


async def test_rows_of_paths_that_never_start_are_not_kept():
    tree = Tree()
    before = kept_rows()
    await race([nothing] * 2_000, concurrency=1, observers=[tree])
    assert (tree.count, kept_rows() - before) == (2_001, 51)


async def test_of_many_runs_what_was_inside_the_first_ones_is_forgotten():
    tree = Tree()
    before = kept_rows()
    for number in range(40):
        paths = [returns(1, n) for n in range(40)]
        await step(lambda paths=paths: gather(paths), id=f"run-{number}").run(observers=[tree])
    assert 1000 - 42 < kept_rows() - before <= 1000  # runs are forgotten whole, 42 rows at a time
    lines = drawn(tree, room=2000)
    inside = ["  gather succeeded", *(f"    {n} succeeded" for n in range(11)), "    … {'succeeded': 29}"]
    assert lines[-14:] == ["run-39 succeeded", *inside]
    assert [line for line in lines if line.startswith("run-")] == [f"run-{n} succeeded" for n in range(40)]
    assert lines.count("  gather succeeded") == 23
    assert lines.count("  … {'succeeded': 1}") == 17


async def test_rows_in_one_run_that_are_too_many_are_forgotten_as_they_end():
    tree = Tree()
    before = kept_rows()

    async def run():
        for _ in range(40):
            await gather([returns(1, n) for n in range(40)])

    await step(run).run(observers=[tree])
    assert 1000 - 41 < kept_rows() - before <= 1000
    assert tree.count == 1 + 40 * 41


def test_very_many_steps_of_one_pipeline_are_kept_while_it_runs():
    tree = Tree()
    flow = scope_of("flow", None, None, None, None)
    tree(StepStarted(name="flow", scope=flow, time=0.0))
    for number in range(1100):
        run = scope_of(f"s{number}", flow, None, None, None)
        tree(StepStarted(name=f"s{number}", scope=run, time=0.0, in_pipeline=True))
        tree(StepSucceeded(name=f"s{number}", scope=run, time=0.0, duration=0.0))
    assert len(drawn(tree)) == 1101
