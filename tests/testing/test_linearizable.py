"""Objects that many tasks use, compared with sequential models."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_steps import ConfigError
from trio_steps.testing import linearizable
from trio_steps.testing._history import History
from trio_steps.testing._search import linearizable as module


class Register:
    """The sequential model of the registers below."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, number: int) -> int:
        self.value += number
        return self.value

    def put(self, number: int) -> None:
        self.value = number

    def get(self) -> int:
        return self.value


class LosesUpdates:
    def __init__(self) -> None:
        self.value = 0

    async def add(self, number: int) -> int:
        value = self.value
        await trio.lowlevel.checkpoint()
        self.value = value + number
        return self.value

    async def get(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.value


class AddsUnderALock(LosesUpdates):
    def __init__(self) -> None:
        super().__init__()
        self.lock = trio.Lock()

    async def add(self, number: int) -> int:
        async with self.lock:
            return await super().add(number)

    async def get(self) -> int:
        async with self.lock:
            return await super().get()


class ReadsAhead:
    """A read returns the copy that the read before it made, not the current value."""

    def __init__(self) -> None:
        self.value = self.copy = 0

    async def put(self, number: int) -> None:
        self.value = number
        await trio.lowlevel.checkpoint()

    async def get(self) -> int:
        stale, self.copy = self.copy, self.value
        await trio.lowlevel.checkpoint()
        return stale


def adds(random: Any) -> tuple[str, int]:
    return "add", 1 + int(random.random() * 3)


def puts(random: Any) -> tuple[str, int]:
    return "put", 1 + int(random.random() * 3)


def test_lost_update_is_found_and_its_history_is_a_table() -> None:
    report = linearizable(LosesUpdates, Register, [adds, "get"])
    text = report.failures[0].finding.message
    assert "no order explains what was returned:\n  task 0" in text
    assert "→ " in text
    assert report.program == "linearizable(LosesUpdates, …)"
    with pytest.raises(AssertionError, match="no order explains"):
        report.raise_if_failed()


def test_stale_read_is_found() -> None:
    report = linearizable(ReadsAhead, Register, [puts, "get"])
    assert report.failures[0].invariant == "invariant"


def test_object_that_is_right_passes() -> None:
    report = linearizable(AddsUnderALock, Register, [adds, "get"], plans=6, budget=40)
    report.raise_if_failed()
    assert report.runs == 240


# Trio's own


class Channel:
    def __init__(self) -> None:
        self.send_channel, self.receive_channel = trio.open_memory_channel[int](2)

    async def send(self, number: int) -> None:
        await self.send_channel.send(number)

    async def receive(self) -> int:
        return await self.receive_channel.receive()


class Queue:
    def __init__(self) -> None:
        self.items: list[int] = []

    def send(self, number: int) -> None:
        if len(self.items) == 2:
            raise trio.WouldBlock
        self.items.append(number)

    def receive(self) -> int:
        if not self.items:
            raise trio.WouldBlock
        return self.items.pop(0)


class Owned:
    def __init__(self) -> None:
        self.owner: int | None = None
        self.task = 0

    def acquire(self) -> None:
        if self.owner == self.task:
            raise RuntimeError
        if self.owner is not None:
            raise trio.WouldBlock
        self.owner = self.task

    def release(self) -> None:
        if self.owner != self.task:
            raise RuntimeError
        self.owner = None


class Flag:
    def __init__(self) -> None:
        self.is_up = False

    def set(self) -> None:
        self.is_up = True

    def is_set(self) -> bool:
        return self.is_up

    def wait(self) -> None:
        if not self.is_up:
            raise trio.WouldBlock


def sends(random: Any) -> tuple[str, int]:
    return "send", int(random.random() * 100)


@pytest.mark.parametrize(
    ("make", "model", "operations"),
    [
        (Channel, Queue, [sends, "receive"]),
        (trio.Lock, Owned, ["acquire", "release"]),
        (trio.StrictFIFOLock, Owned, ["acquire", "release"]),
        (trio.Event, Flag, ["set", "is_set", "wait"]),
    ],
    ids=["channel", "lock", "strict_fifo_lock", "event"],
)
def test_channels_locks_and_events_of_trio_pass(make: Any, model: Any, operations: Any) -> None:
    linearizable(make, model, operations, plans=6, budget=40).raise_if_failed()


class LosesWakeUps(Channel):
    """A task that comes when it is full waits forever, because it is never woken."""

    async def send(self, number: int) -> None:
        try:
            self.send_channel.send_nowait(number)
        except trio.WouldBlock:
            await trio.Event().wait()


def test_call_that_waits_for_ever_though_the_model_does_not_is_found() -> None:
    report = linearizable(LosesWakeUps, Queue, [sends, "receive"])
    assert "→ stuck" in report.failures[0].finding.message


class LosesTheDoor(Register):
    """Whoever comes second raises."""

    def add(self, number: int) -> int:
        if self.value:
            raise OSError("shut")
        return super().add(number)


def test_call_that_raises_though_the_model_does_not_is_found() -> None:
    report = linearizable(LosesTheDoor, Register, [adds])
    assert "→ raised OSError('shut')" in report.failures[0].finding.message


# histories alone


def history(*events: Any) -> History:
    """Return a history of starts (task, name, arguments) and ends (task, how, result)."""
    made = History()
    under_way: dict[int, Any] = {}
    for task, what, more in events:
        if task in under_way:
            how: Any = "".join(what)  # any text that is equal
            made.end(under_way.pop(task), how, more)
        else:
            under_way[task] = made.start(task, what, more)
    return made


@pytest.mark.parametrize(
    ("events", "explained"),
    [
        ([], True),
        ([(0, "put", (1,)), (0, "returned", None), (1, "get", ()), (1, "returned", 1)], True),
        ([(0, "put", (1,)), (0, "returned", None), (1, "get", ()), (1, "returned", 0)], False),  # it had ended
        ([(0, "put", (1,)), (1, "get", ()), (1, "returned", 0), (0, "returned", None)], True),  # it was under way
        ([(0, "put", (1,)), (1, "get", ()), (1, "returned", 1), (0, "returned", None)], True),
        ([(0, "put", (1,)), (0, "cancelled", None), (1, "get", ()), (1, "returned", 1)], True),  # it has happened
        ([(0, "put", (1,)), (0, "cancelled", None), (1, "get", ()), (1, "returned", 0)], True),  # or not
        (
            [
                (0, "put", (1,)), (0, "cancelled", None),
                (1, "get", ()), (1, "returned", 0), (1, "get", ()), (1, "returned", 1),
            ],
            False,  # but not after it has ended
        ),
        ([(0, "put", ()), (0, "raised", TypeError()), (1, "get", ()), (1, "returned", 0)], True),
        ([(0, "put", ()), (0, "raised", OSError())], False),
        ([(0, "put", ()), (0, "returned", TypeError())], False),
        ([(0, "get", ()), (0, "stuck", None)], False),  # it could have continued
    ],
)  # fmt: skip
def test_history_is_explained_by_an_order_or_not(events: Any, explained: bool) -> None:
    assert history(*events).explained(Register) is explained


def test_table_has_a_column_for_each_task_and_a_row_for_each_event() -> None:
    told = history(
        (0, "put", (1,)), (1, "get", ()), (1, "returned", 5), (0, "raised", OSError("x")), (1, "get", ()),
        (1, "cancelled", None),
    )  # fmt: skip
    assert told.table().splitlines() == [
        "  task 0                 task 1",
        "  put(1)",
        "                         get()",
        "                         → 5",
        "  → raised OSError('x')",
        "                         get()",
        "                         → cancelled",
    ]


def test_column_of_a_table_is_eight_characters_wide_at_least() -> None:
    told = history((0, "f", ()), (1, "g", ()), (1, "cancelled", None), (0, "returned", 1)).table()
    assert told.splitlines() == ["  task 0    task 1", "  f()", "            g()", "            → cancelled", "  → 1"]


def test_model_with_a_state_that_can_not_be_compared_is_searched_all_the_same() -> None:
    class Opaque(Register):
        def __init__(self) -> None:
            super().__init__()
            self.lock = object()

    made = history((0, "put", (1,)), (1, "get", ()), (1, "returned", 0), (0, "returned", None))
    assert made.explained(Opaque)


def test_failure_says_how_to_see_it_again() -> None:
    first, again = (linearizable(LosesUpdates, Register, [adds, "get"]) for _ in range(2))
    assert str(first.failures[0]).endswith("  again: linearizable(LosesUpdates, …) with the same arguments")
    assert str(first) == str(again)


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ([], r"^operations=\[\]: give names of methods"),
        ([5], "give names of methods, or functions that draw a call"),
        ([lambda random: "put"], r"an operation has drawn 'put': return the name of a method and its arguments"),
        ([lambda random: ()], r"an operation has drawn \(\)"),
    ],
)
def test_operations_that_are_none_are_refused(operations: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        linearizable(Register, Register, operations)


def test_plans_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^plans=0: give a number of plans, 1 or more$"):
        linearizable(trio.Event, Flag, "is_set", plans=0)


def test_plans_are_of_two_three_and_four_tasks_with_three_calls_each_and_a_seed_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[list[int], int, float]] = []
    plans: list[list[Any]] = []
    explore, program = module.explore, module._program

    def explored(program: Any, *, budget: float, seed: int, **options: Any) -> Any:
        made.append(([len(calls) for calls in plans[-1]], seed, budget))
        return explore(program, budget=1, seed=seed, **options)

    monkeypatch.setattr(module, "_program", lambda *args: plans.append(args[2]) or program(*args))
    monkeypatch.setattr(module, "explore", explored)
    report = linearizable(trio.Event, Flag, "is_set", plans=5, budget=7, seed=20)
    two, three, four = [3] * 2, [3] * 3, [3] * 4
    assert made == [(two, 20, 7), (three, 21, 7), (four, 22, 7), (two, 23, 7), (three, 24, 7)]
    assert (report.runs, report.exhausted) == (5, False)


def test_single_operation_may_be_given_by_its_name() -> None:
    assert linearizable(trio.Event, Flag, "is_set", plans=1, budget=5).ok
