"""How often a call to a store in a file is tried, and for how long, on a clock that the test sets."""

from __future__ import annotations

import sqlite3
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from trio_steps._durable import calls as module
from trio_steps._durable.calls import Calls, Claim
from trio_steps.store import RunChange, RunClaimedError, StoreError


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def busy_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def calls_of(**database: Any) -> Calls:
    return Calls(SimpleNamespace(path="runs.db", **database))  # type: ignore[arg-type]


async def test_look_serves_all_for_a_quarter_of_a_second(clock: Clock) -> None:
    looks: list[float] = []

    def lost_and_cancelled() -> tuple[set[str], set[str]]:
        looks.append(clock.now)
        return {"lost"}, {f"cancelled at {clock.now}"}

    calls = calls_of(lost_and_cancelled=lost_and_cancelled)
    for clock.now in (100.0, 100.25, 100.375, 100.5, 100.625, 101.0):
        lost, cancelled = await calls.look()
        assert (lost, cancelled) == ({"lost"}, {f"cancelled at {looks[-1]}"})
    assert looks == [100.0, 100.375, 101.0]


async def test_call_is_made_again_while_others_are_in_the_way_for_ten_seconds(clock: Clock) -> None:
    made: list[float] = []

    def call(argument: str) -> str:
        made.append(clock.now)
        clock.now += 2.5
        if argument == "busy" or len(made) < 3:
            raise busy_error()
        return argument

    calls = calls_of()
    clock.now = 1.0
    assert await calls.make(call, "value") == "value"
    assert made == [1.0, 3.5, 6.0]
    with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
        await calls.make(call, "busy")
    assert made[3:] == [8.5, 11.0, 13.5, 16.0]
    assert caught.value.__notes__ == ["in the store 'runs.db'"]


async def test_call_that_can_not_wait_is_not_made_within_half_a_second_after_others_were_in_the_way(
    clock: Clock,
) -> None:
    made: list[float] = []

    def call(is_busy: bool) -> None:
        made.append(clock.now)
        if is_busy:
            raise busy_error()

    calls = calls_of()
    assert await calls.make_now(call, False) is True
    assert await calls.make_now(call, True) is False
    clock.now = 100.375
    assert await calls.make_now(call, False) is False
    clock.now = 100.5
    assert await calls.make_now(call, False) is True
    assert made == [100.0, 100.0, 100.5]


async def test_call_that_waits_tells_those_that_can_not_that_others_are_in_the_way(clock: Clock) -> None:
    fails = [True]

    def call() -> str:
        if fails:
            fails.clear()
            raise busy_error()
        return "made"

    calls = calls_of()
    assert await calls.make(call) == "made"
    assert await calls.make_now(call) is False
    clock.now += 0.5
    assert await calls.make_now(call) is True


def test_release_in_the_background_ends_also_if_a_call_lasts_beyond_the_ten_seconds(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[float] = []

    def release(claimed: object) -> None:
        made.append(clock.now)
        clock.now += 4
        raise busy_error()

    given_up: list[object] = []
    calls_of(release=release, give_up=given_up.append)._release_later(CLAIMED, None)
    assert made == [100, 104, 108]
    assert given_up == [CLAIMED]


def test_release_in_the_background_is_tried_again_for_ten_seconds(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[object] = []

    def write(claimed: object, change: object) -> None:
        made.append((change, clock.now))
        clock.now += 2.5
        if clock.now < 105:
            raise busy_error()

    def release(claimed: object) -> None:
        made.append(clock.now)
        clock.now += 2.5
        raise busy_error()

    given_up: list[object] = []
    claimed: Any = SimpleNamespace(run_id="r")
    calls = calls_of(write=write, release=release, give_up=given_up.append)
    calls._release_later(claimed, "change")  # type: ignore[arg-type]
    assert made == [("change", 100.0), ("change", 102.5), 105.0, 107.5]
    assert given_up == [claimed]
    assert "the run 'r' could not be released in 'runs.db'" in caplog.text


@pytest.mark.parametrize("way", ["make", "make_now"])
async def test_other_errors_of_a_call_are_raised_at_once(clock: Clock, way: str) -> None:
    made: list[float] = []

    def call() -> None:
        made.append(clock.now)
        raise sqlite3.IntegrityError("UNIQUE")

    with pytest.raises(sqlite3.IntegrityError):
        await getattr(calls_of(), way)(call)
    assert made == [100.0]


CLAIMED: Any = SimpleNamespace(run_id="r", token="mine")


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("no"), StoreError("no"), RunClaimedError("r")], ids=repr)
def test_release_in_the_background_is_not_tried_again_after_another_error(
    clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    made: list[object] = []

    def release(claimed: object) -> None:
        made.append(claimed)
        raise error

    given_up: list[object] = []
    calls_of(release=release, give_up=given_up.append)._release_later(CLAIMED, None)
    assert made == given_up == [CLAIMED]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("no"), StoreError("no")], ids=repr)
async def test_run_whose_release_fails_is_given_up(
    clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def release(claimed: object) -> None:
        raise error

    given_up: list[object] = []
    await calls_of(release=release, give_up=given_up.append).release(CLAIMED, None)
    assert given_up == [CLAIMED]
    assert [record.getMessage() for record in caplog.records] == ["the run 'r' could not be released in 'runs.db'"]


async def test_last_change_that_others_were_in_the_way_of_is_written_later_by_a_daemon_thread(clock: Clock) -> None:
    made: list[object] = []
    done = threading.Event()

    def write(claimed: object, change: object) -> None:
        made.append(change)
        if len(made) == 1:
            raise busy_error()

    def release(claimed: object) -> None:
        made.append(threading.current_thread().daemon)
        done.set()

    change = RunChange(pipeline="p", status="cancelled", urgent=True)
    claim = Claim(calls_of(write=write, release=release), CLAIMED)
    await claim.write(change)
    assert made == [change]
    await claim.release()
    await trio.to_thread.run_sync(done.wait)
    assert made == [change, change, True]


async def test_claim_looks_every_half_second_whether_its_run_is_cancelled_or_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=trio.current_time))
    looks: list[tuple[set[str], set[str]]] = [(set(), {"other"}), ({"other"}, set()), (set(), {"mine"})]
    claim = Claim(calls_of(lost_and_cancelled=lambda: looks.pop(0)), CLAIMED)
    await claim.wait_cancelled()
    assert (looks, trio.current_time()) == ([], 1.5)
    looks.append(({"mine"}, set()))
    with pytest.raises(RunClaimedError):
        await claim.wait_cancelled()
    assert (looks, trio.current_time()) == ([], 2.0)
