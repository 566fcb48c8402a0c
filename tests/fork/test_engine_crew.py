"""The members of a crew: how many there are, what they are called, and who waits for a token, whatever paths do."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import pytest
import trio
from paths import returns
from ways import Gauge, variable

from trio_steps import fork, gather, race, stream


def names_of_tasks() -> set[str]:
    names: set[str] = set()
    tasks = [trio.lowlevel.current_root_task()]
    while tasks:
        task = tasks.pop()
        assert task is not None
        names.add(task.name)
        tasks.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return names


async def test_member_that_waits_for_its_next_token_goes_by_the_name_of_the_fork() -> None:
    limiter = trio.CapacityLimiter(1)
    names: set[str] = set()

    async def other() -> None:
        await trio.sleep(0.5)
        for _ in range(2):
            async with limiter:
                names.update(names_of_tasks())
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await gather(*[returns(1, number) for number in range(5)], concurrency=limiter)
    assert "gather" in names
    assert not [name for name in names if name.startswith("gather/")]


async def test_member_that_waits_for_room_goes_by_the_name_of_the_fork() -> None:
    async with stream((returns(1, number) for number in range(5)), concurrency=1) as results:
        await trio.sleep(0.5)
        assert {"stream", "stream/0"} <= names_of_tasks()
        await trio.sleep(5)
        names = names_of_tasks()
        assert "stream" in names
        assert not [name for name in names if name.startswith("stream/")]
        assert len([result async for result in results]) == 5


KINDS = ["leaves nothing", "fails", "leaves a variable", "leaves a scope", "leaves a nursery"]


def paths_that(kind: str, gauge: Gauge, count: int, seconds: float = 1) -> list[Any]:
    """Return paths of one second. The first three take other `seconds`, and do as `kind` says."""

    def path(number: int) -> Any:
        run = gauge.path(1, str(number))

        async def does() -> None:
            if number >= 3 or seconds:
                await run()
            if number < 3 and kind != "leaves nothing":
                if kind == "fails":
                    raise OSError
                if kind == "leaves a variable":
                    variable.set(object())
                elif kind == "leaves a scope":
                    trio.CancelScope().__enter__()
                else:
                    await trio.open_nursery().__aenter__()

        return does

    return [path(number) for number in range(count)]


@pytest.mark.parametrize("lazy", [False, True], ids=["known", "lazy"])
@pytest.mark.parametrize("kind", KINDS)
async def test_crew_is_complete_whatever_a_path_leaves_behind(kind: str, lazy: bool) -> None:
    gauge = Gauge()
    paths = paths_that(kind, gauge, 16)
    source: Any = (lambda: iter(paths)) if lazy else paths
    await fork("f", mode="settle", paths=source, concurrency=4)()
    assert [time for _, time in gauge.starts] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


@pytest.mark.parametrize("kind", KINDS)
async def test_crew_is_hired_whatever_its_first_paths_leave_behind(kind: str) -> None:
    for limit in (4, trio.CapacityLimiter(4)):
        begin, gauge = trio.current_time(), Gauge()
        paths = paths_that(kind, gauge, 15, seconds=0)
        await fork("f", mode="settle", paths=lambda: iter(paths), concurrency=limit)()  # noqa: B023
        assert [time - begin for _, time in gauge.starts] == [0] * 4 + [1] * 4 + [2] * 4


async def test_crew_hires_two_members_in_each_round() -> None:
    rounds = 0

    class Rounds(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            nonlocal rounds
            rounds += timeout == 0

    gauge, instrument = Gauge(), Rounds()
    trio.lowlevel.add_instrument(instrument)
    await gather((gauge.path(1) for _ in range(128)), concurrency=128)
    trio.lowlevel.remove_instrument(instrument)
    assert (gauge.most, trio.current_time()) == (128, 1)
    assert rounds < 128 / 2 + 10  # and a few at the end


@pytest.mark.parametrize("lazy", [False, True], ids=["known", "lazy"])
async def test_paths_without_a_limit_start_in_stretches(lazy: bool) -> None:
    rounds, starts = 0, Counter[int]()

    class Rounds(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            nonlocal rounds
            rounds += 1

    def path() -> None:
        starts[rounds] += 1

    instrument = Rounds()
    trio.lowlevel.add_instrument(instrument)
    await gather((path for _ in range(100)) if lazy else [path] * 100)
    trio.lowlevel.remove_instrument(instrument)
    assert list(starts.values()) == [32, 32, 32, 4]


@pytest.mark.parametrize("lazy", [False, True], ids=["known", "lazy"])
@pytest.mark.parametrize("kind", KINDS)
async def test_one_member_of_a_crew_waits_for_a_token(kind: str, lazy: bool) -> None:
    limiter = trio.CapacityLimiter(2)
    gauge = Gauge()
    paths = paths_that(kind, gauge, 10)
    source: Any = (lambda: iter(paths)) if lazy else paths
    seen: list[tuple[int, int]] = []

    async def look() -> None:
        for _ in range(5):
            await trio.sleep(0.5)
            seen.append((int(limiter.borrowed_tokens), limiter.statistics().tasks_waiting))
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await fork("f", mode="settle", paths=source, concurrency=limiter)()
    assert [time for _, time in gauge.starts] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert seen == [(2, 1)] * 5


async def test_member_keeps_its_token_as_long_as_only_another_member_waits_for_it() -> None:
    limiter = trio.CapacityLimiter(1)
    tasks: list[trio.lowlevel.Task] = []

    async def path() -> None:
        tasks.append(trio.lowlevel.current_task())
        await trio.sleep(1)

    await gather(*[path] * 30, concurrency=limiter)
    # Each gives it back after one path and after sixteen more, to look for scopes that were left open.
    assert [number for number in range(1, 30) if tasks[number] is not tasks[number - 1]] == [1, 2, 18]


async def test_others_get_a_token_after_members_have_waited_for_theirs() -> None:
    limiter = trio.CapacityLimiter(1)
    got: list[float] = []

    async def other() -> None:
        for _ in range(3):
            await trio.sleep(0.5)
            async with limiter:
                got.append(trio.current_time())
                await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await gather(*[returns(1, number) for number in range(20)], concurrency=limiter)
    assert got == [2, 4.5, 7]


async def test_loser_that_has_ended_lets_go_of_what_it_held_while_others_still_clean_up() -> None:
    class Held:
        pass

    held: list[weakref.ref[Held]] = []
    alive: list[bool] = []

    async def loses() -> None:
        own = Held()
        held.append(weakref.ref(own))
        await trio.sleep_forever()

    async def cleans_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            gc.collect()
            alive.extend(each() is not None for each in held)

    assert await race(returns(1, "won"), loses, loses, cleans_up) == "won"
    assert alive == [False, False]
