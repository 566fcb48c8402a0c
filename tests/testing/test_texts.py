"""The text of a failure: names, which task woke which, decisions as lines, and nothing twice."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from trio_steps.testing import ExplorationError, Probe, explore, run_once
from trio_steps.testing._compare import contents, same, show
from trio_steps.testing._findings import Finding
from trio_steps.testing._machine.synced import _letter
from trio_steps.testing._machine.token import Recipe
from trio_steps.testing._report import Report, alike, failure_of, folded

HERE = Path(__file__)
FILE = f"tests/testing/{HERE.name}"


def line_of(mark: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.endswith(f"# {mark}"))


async def replaces_its_event(probe: Probe) -> None:
    ready = trio.Event()  # FIRST

    async def waiter() -> None:
        await ready.wait()  # WAITS

    async def notifier() -> None:
        nonlocal ready
        ready = trio.Event()  # SECOND
        await trio.lowlevel.checkpoint()
        ready.set()  # SETS

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        nursery.start_soon(notifier)


def test_deadlock_names_the_event_who_made_it_and_that_nobody_set_it() -> None:
    text = str(explore(replaces_its_event).failures[0])
    assert f"waiter waits for Event A.wait at {FILE}:{line_of('WAITS')} in waiter" in text
    assert f"Event A was made at {FILE}:{line_of('FIRST')} by task replaces_its_event, and never set" in text
    second = f"Event B was made at {FILE}:{line_of('SECOND')} by task notifier"
    assert f"{second}, and set by task notifier at {FILE}:{line_of('SETS')}" in text


OLD = trio.Event()


def test_object_that_is_older_than_the_program_is_said_to_be() -> None:
    async def program(probe: Probe) -> None:
        await OLD.wait()

    assert run_once(program).objects == ("Event A was made before the program, and never set",)


def test_event_that_is_set_again_keeps_who_set_it_first() -> None:
    async def program(probe: Probe) -> None:
        event = trio.Event()
        event.set()  # AGAIN
        event.set()
        await trio.Event().wait()

    assert f"and set by task program at {FILE}:{line_of('AGAIN')}" in "\n".join(run_once(program).objects)


def test_object_that_is_made_in_a_thread_has_no_name() -> None:
    async def program(probe: Probe) -> None:
        await trio.to_thread.run_sync(trio.Semaphore, 1)
        await trio.Semaphore(0).acquire()

    assert [line.split(" was ")[0] for line in run_once(program).objects if "Sem" in line] == ["Semaphore A"]


def test_locks_and_channels_have_names_too() -> None:
    async def program(probe: Probe) -> None:
        first, second = trio.Lock(), trio.Lock()
        _, receive = trio.open_memory_channel[int](0)
        async with first, second:
            await receive.receive()

    run = run_once(program)
    text = str(run.findings[0])
    assert "program waits for MemoryReceiveChannel A.receive" in text
    assert [line.split(" was ")[0] for line in run.objects] == ["Lock A", "Lock B", "MemoryReceiveChannel A"]


@pytest.mark.parametrize(("count", "letter"), [(1, "A"), (26, "Z"), (27, "AA"), (53, "BA"), (703, "AAA")])
def test_letters_go_on_after_z(count: int, letter: str) -> None:
    assert _letter(count) == letter


def test_trace_says_who_woke_whom_and_at_which_line() -> None:
    async def program(probe: Probe) -> None:
        event = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(event.wait, name="waiter")
            await trio.sleep(1)
            event.set()  # WAKES

    trace = run_once(program).trace
    assert f"        1  program wakes waiter at {FILE}:{line_of('WAKES')}" in trace
    assert len([line for line in trace if " wakes " in line]) == 1  # the start or end of a task is not told as a wake


def test_decisions_are_told_as_lines() -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)
            await trio.lowlevel.checkpoint()  # CHILD
            log.append(name.upper())

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert log[:4] != ["a", "b", "c", "B"]

    failure = explore(program).failures[0]
    assert f"order: FIFO, except that\n    b went before a at {FILE}:{line_of('CHILD')}\n" in str(failure)
    assert failure.schedule == f"FIFO, except that b went before a at {FILE}:{line_of('CHILD')}"


def test_batch_that_went_the_other_way_round_is_told_by_its_tasks() -> None:
    async def program(probe: Probe) -> None:
        log: list[str] = []

        async def child(name: str) -> None:
            log.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name, name=name)
        assert log[0] != "c"

    failure = explore(program).failures[0]
    assert (failure.policy, failure.schedule) == ("trio", "FIFO, except that a batch ran in reverse: c, b, a")


def test_lines_that_differ_in_a_number_only_are_counted() -> None:
    lines = ["  main waits", *(f"  worker{'' if n == 1 else f'#{n}'} waits for 3 s" for n in range(1, 20_001))]
    assert alike(lines)[:2] == ["  main waits", "  worker waits for 3 s"]
    assert alike(lines)[2:] == ["  worker#2 waits for 3 s", "  worker#3 waits for 3 s", "  … 19,997 more like this"]
    assert alike(["a#1", "a#2", "a#3"]) == ["a#1", "a#2", "a#3"]  # a count would not be shorter
    assert alike(["a#1", "a#2", "a#3", "a#4"]) == ["a#1", "a#2", "… 2 more like this"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], []),
        (["        0  a", "        0  b"], ["        0  a", "        0  b"]),
        (["        0  a", "        0  a", "        0  b"], ["        0  a (2 times)", "        0  b"]),
        (
            [f"{number:>9g}  {what}" for number in range(100) for what in ("time passes", "a waits")],
            ["        0  time passes", "        0  a waits", "           … 198 more like this"],
        ),
        (["a", "a", "a"], ["a", "… 2 more like this"]),
        (
            ["        0  a", "        0  b", "        0  a", "        0  b"],
            ["        0  a", "        0  b", "        0  a", "        0  b"],
        ),
    ],
)
def test_lines_that_come_again_and_again_are_folded(lines: list[str], told: list[str]) -> None:
    assert folded(lines) == told


@pytest.mark.parametrize("times", [3, 4, 7])
@pytest.mark.parametrize("size", range(1, 9))
def test_cycle_of_up_to_eight_lines_that_comes_three_times_or_more_is_folded(size: int, times: int) -> None:
    cycle = [f"line {'abcdefgh'[number]}" for number in range(size)]
    told = [*cycle, f"… {(times - 1) * size} more like this"]
    assert folded(["begin", *cycle * times, "end"]) == ["begin", *told, "end"]
    assert folded(cycle * times + cycle[:-1]) == told + cycle[:-1]


def test_longer_cycles_and_those_that_come_twice_are_told_whole() -> None:
    nine = list("abcdefghi") * 3
    assert folded(nine) == nine
    twice = list("abcdabcd")
    assert folded(twice) == twice


@pytest.mark.parametrize(("count", "head"), [(29, "what the tasks did:"), (30, "what the tasks did:"), (31, None)])
def test_last_thirty_lines_of_a_trace_are_told(count: int, head: str | None) -> None:
    trace = [f"line {number}" for number in range(count)]
    run: Any = SimpleNamespace(
        where=None, chosen=(), recipe=Recipe(), trace=tuple(trace), objects=(), token="token", expired=None
    )
    failure = failure_of(run, Finding(invariant="lock", message="it is held"), "program")
    told = failure.text.splitlines()
    assert told[:1] + told[3:-1] == [
        "LOCK: it is held",
        f"  {head or 'the last 30 lines of that:'}",
        *(f"    {line}" for line in trace[-30:]),
    ]


def test_report_of_no_timeouts_and_nothing_saved_says_so_by_itself() -> None:
    report = Report(program="p", what="w", runs=1, points=2, schedules=3, exhausted=True, stopped="s")
    assert (report.timeouts, report.saved, report.untried, report.ok) == (0, 0, (), True)


class Shown:
    def __init__(self, length: int) -> None:
        self.length = length

    def __repr__(self) -> str:
        return "x" * self.length


class AlsoShown(Shown): ...


def test_value_is_told_in_two_hundred_characters() -> None:
    assert show(Shown(200)) == "x" * 200
    assert show(Shown(201)) == "x" * 199 + "…"


def test_values_are_the_same_if_they_are_of_one_type_and_look_alike() -> None:
    assert same(Shown(3), Shown(3))
    one: list[Any] = [1, 2, Shown(2), Shown(3), AlsoShown(3)]
    assert not any(same(first, second) for first, second in itertools.permutations(one, 2))


def test_thousand_objects_of_a_value_are_looked_at_or_as_many_as_is_said() -> None:
    objects = [[number] for number in range(2000)]
    assert [len(list(contents(objects, most=most))) for most in (1, 2, 3, 1500)] == [1, 2, 3, 1500]
    assert len(list(contents(objects))) == 1000
    assert list(contents(objects, but=objects)) == []


def test_livelock_shows_its_cycle_once() -> None:
    async def program(probe: Probe) -> None:
        while True:
            await trio.sleep(1)

    text = str(explore(program, budget=1, max_steps=300).failures[0])
    assert text.count("waits for sleep") == 1
    assert "more like this" in text


def test_error_of_the_program_is_the_cause_of_the_failure() -> None:
    async def program(probe: Probe) -> None:
        await trio.sleep(1)
        raise OSError("no route")

    with pytest.raises(ExplorationError) as caught:
        explore(program, budget=5).raise_if_failed()
    assert isinstance(caught.value.__cause__, OSError)

    async def leaks(probe: Probe) -> None:
        probe.resource("conn")

    with pytest.raises(ExplorationError) as caught:
        explore(leaks, budget=5).raise_if_failed()
    assert caught.value.__cause__ is None


async def runs_a_process() -> None:
    await trio.run_process([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)


async def waits_for_a_socket() -> None:
    one, other = trio.socket.socketpair()
    with one, other, trio.move_on_after(1):
        await one.recv(1)


@pytest.mark.parametrize(
    ("involve", "what"),
    [
        (runs_a_process, "process"),
        (waits_for_a_socket, "socket"),
        (functools.partial(trio.to_thread.run_sync, int), "thread"),
    ],
    ids=["process", "socket", "thread"],
)
def test_real_world_is_noted_if_it_is_involved(involve: Any, what: str) -> None:
    async def program(probe: Probe) -> None:
        await involve()

    assert f"it waited for a {what}: such a run is not deterministic" in run_once(program).notes
