"""With ``clock=True``, Python's clocks show virtual time too."""

# ruff: noqa: DTZ001, DTZ002, DTZ003, DTZ005, DTZ011 - naive times are virtual too

from __future__ import annotations

import copy
import copyreg
import datetime as dt
import pickle
import time
from typing import Any

import pytest
import trio

from trio_steps.testing import Probe, explore, run_once
from trio_steps.testing._machine.fake_time import EPOCH, FakeTime


def value_of(program: Any) -> Any:
    run = run_once(program, clock=True)
    assert run.findings == ()
    return run.value


def test_functions_of_the_time_module_tell_virtual_time() -> None:
    async def program(probe: Probe) -> list[float]:
        told: list[float] = []
        for name in ("monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns"):
            await trio.sleep(1)
            told.append(getattr(time, name)())
        return told

    assert value_of(program) == [1, 2, EPOCH + 3, 4e9, 5e9, (EPOCH + 6) * 1e9]


def test_now_is_virtual_and_what_it_returns_is_a_datetime() -> None:
    async def program(probe: Probe) -> Any:
        await trio.sleep(60)
        now = dt.datetime.now(dt.UTC)
        assert type(now) is not dt.datetime  # the class has been replaced
        assert isinstance(now, dt.datetime)
        assert isinstance(dt.datetime(2020, 1, 1), dt.datetime)
        assert issubclass(type(now), dt.datetime)
        assert not isinstance(dt.date(2020, 1, 1), dt.datetime)
        await trio.sleep(1)
        assert abs(dt.datetime.today().timestamp() - EPOCH - 61) < 1
        assert dt.datetime.utcnow().tzinfo is None
        return now.isoformat()

    assert value_of(program) == "2000-01-01T00:01:00+00:00"


def test_time_goes_on_for_whoever_reads_it_again_and_again() -> None:
    async def program(probe: Probe) -> bool:
        first = time.monotonic()
        second = time.monotonic()
        assert first < second < first + 0.001
        await trio.sleep(1)
        assert time.monotonic() == 1 + second - first  # nothing is added after time has passed
        end = time.monotonic() + 3600
        while time.monotonic() < end:
            pass
        assert trio.current_time() == 1
        return True

    assert value_of(program)


def test_each_reading_adds_a_microsecond_and_after_each_hundred_of_them_twice_as_much() -> None:
    now = [0.0]
    fake = FakeTime(lambda: now[0])
    assert fake.read() == 0
    added = 0.0
    for reading in range(1, 1000):
        added += 1e-6 * 2 ** (reading // 100)
        assert fake.read() == added
    now[0] = 5.0
    assert fake.read() == 5 + added
    assert fake.read() == 5 + (added + 1e-6)


@pytest.mark.parametrize(("other", "is_here"), [(-1, False), (0, True), (1, False)])
def test_time_is_virtual_in_one_thread(other: int, is_here: bool) -> None:
    fake = FakeTime(lambda: 0.0)
    fake._thread += other
    with fake.telling():
        told = [
            time.monotonic() < 1,
            time.time() < EPOCH + 1,
            dt.date.today().year == 2000,
            dt.datetime.now().year == 2000,
        ]
    assert told == [is_here] * 4


def test_threads_have_the_time_of_the_world() -> None:
    async def program(probe: Probe) -> tuple[float, float, int]:
        return await trio.to_thread.run_sync(lambda: (time.time(), dt.datetime.now().timestamp(), time.time_ns()))

    for told in value_of(program)[:2]:
        assert told > EPOCH + 20 * 365 * 86_400


def test_time_is_put_back() -> None:
    real = time.monotonic, time.time_ns, dt.datetime
    run_once(trio_sleep, clock=True)
    assert (time.monotonic, time.time_ns, dt.datetime) == real


async def trio_sleep(probe: Probe) -> None:
    await trio.sleep(1)


async def until_it_is_late(probe: Probe) -> None:
    end = time.monotonic() + 100
    while time.monotonic() < end:
        await trio.sleep(1)


def test_loop_on_the_clock_of_python_ends_and_without_it_is_told_what_to_do() -> None:
    assert explore(until_it_is_late, clock=True, budget=20).ok
    failure = explore(until_it_is_late, budget=1, max_steps=500).failures[0]
    assert failure.invariant == "livelock"
    assert "it reads the time from Python, time.monotonic() at tests/testing/test_fake_time.py:" in str(failure)
    assert "clock=True" in str(failure)


def test_functions_that_tell_the_day_or_take_a_clock_are_virtual() -> None:
    async def program(probe: Probe) -> list[Any]:
        await trio.sleep(86_400)
        days: list[Any] = [time.gmtime().tm_yday, time.localtime().tm_yday, time.strftime("%j")]
        days += [time.ctime(), time.asctime(), dt.date.today().day]
        assert time.gmtime(0).tm_year == 1970
        assert (
            time.strftime("%Y", time.gmtime(0))
            == time.asctime(time.gmtime(0))[-4:]
            == time.ctime(86_400)[-4:]
            == "1970"
        )
        return days

    here = time.localtime(EPOCH + 86_400)
    told = time.asctime(here)
    again = time.asctime(time.localtime(EPOCH + 86_400))
    assert value_of(program) == [2, here.tm_yday, time.strftime("%j", here), told, again, here.tm_mday]


def test_clocks_of_the_system_are_virtual_but_for_those_that_count_work() -> None:
    async def program(probe: Probe) -> list[float]:
        await trio.sleep(100)
        assert time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) != 100
        first = time.clock_gettime(time.CLOCK_MONOTONIC)
        await trio.sleep(1)
        return [first, time.clock_gettime_ns(time.CLOCK_REALTIME)]

    assert value_of(program) == [100, (EPOCH + 101) * 1e9]


def test_sleep_that_is_measured_is_not_shorter_than_asked_for() -> None:
    async def program(probe: Probe) -> None:
        for _ in range(300):
            start = time.perf_counter()
            await trio.sleep(0.001)
            assert time.perf_counter() - start >= 0.001 - 1e-12
            while time.perf_counter() - start < 0.01:
                pass  # the time added here does not count towards a later sleep

    value_of(program)


def test_moment_is_pickled_and_copied_like_any_other() -> None:
    async def program(probe: Probe) -> bytes:
        now = dt.datetime.now(dt.UTC).replace(fold=1)
        assert copy.deepcopy(now) == pickle.loads(pickle.dumps(now)) == now
        return pickle.dumps(now)

    pickled = value_of(program)
    assert pickle.loads(pickled) == dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    assert pickle.loads(pickled).fold == 1
    assert dt.datetime not in copyreg.dispatch_table


def test_day_is_pickled_compared_and_told_apart_like_any_other() -> None:
    async def program(probe: Probe) -> list[Any]:
        today = dt.date.today()
        assert copy.deepcopy(today) == pickle.loads(pickle.dumps(today)) == today == dt.date(*today.timetuple()[:3])
        elsewhere = await trio.to_thread.run_sync(lambda: dt.date.today() >= dt.date(2026, 1, 1))
        kinds = [isinstance(day, dt.date) for day in (today, dt.datetime.now(), "today")]
        return [today, elsewhere, kinds, issubclass(dt.datetime, dt.date), issubclass(int, dt.date)]

    today = dt.date(*time.localtime(EPOCH)[:3])
    assert value_of(program) == [today, True, [True, True, False], True, False]
    assert dt.date not in copyreg.dispatch_table


def test_report_says_that_the_program_asked_for_the_real_time() -> None:
    async def program(probe: Probe) -> None:
        probe.resource(f"conn {time.monotonic() > 0}")
        await trio.sleep(1)

    assert "\nnote: it read the real time, time.monotonic() at " in str(explore(program, budget=3))
    assert "note: " not in str(explore(program, budget=3, clock=True))
