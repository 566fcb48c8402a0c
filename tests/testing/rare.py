"""Programs with a bug that few orders show. Each is small enough to run all of its orders.

Their tasks share objects in different ways, but none has a lock that would show it.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio_steps.testing import Probe

PROGRAMS: dict[str, Callable[[Probe], Awaitable[object]]] = {}
REGISTRY: dict[str, int] = {}
total = 0
turn = trio.lowlevel.checkpoint


def program(function: Callable[[Probe], Awaitable[object]]) -> Callable[[Probe], Awaitable[object]]:
    PROGRAMS[function.__name__] = function
    return function


async def together(*functions: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(function)


@program
async def attribute_lost(probe: Probe) -> None:
    class Account:
        balance = 0

    account = Account()

    async def add(amount: int) -> None:
        balance = account.balance
        await turn()
        account.balance = balance + amount

    await together(functools.partial(add, 1), functools.partial(add, 2))
    assert account.balance == 3


@program
async def class_attribute_lost(probe: Probe) -> None:
    class Pool:
        size = 0

        async def grow(self) -> None:
            size = Pool.size
            await turn()
            Pool.size = size + 1

    await together(Pool().grow, Pool().grow)
    assert Pool.size == 2


@program
async def name_of_module_lost(probe: Probe) -> None:
    global total
    total = 0

    async def add() -> None:
        global total
        seen = total
        await turn()
        total = seen + 1

    await together(add, add)
    assert total == 2


@program
async def dictionary_of_module_lost(probe: Probe) -> None:
    REGISTRY.clear()

    async def register(name: str) -> None:
        number = len(REGISTRY)
        await turn()
        REGISTRY[name] = number

    await together(functools.partial(register, "a"), functools.partial(register, "b"))
    assert sorted(REGISTRY.values()) == [0, 1]


@program
async def nonlocal_lost(probe: Probe) -> None:
    count = 0

    async def add() -> None:
        nonlocal count
        seen = count
        await turn()
        count = seen + 1

    await together(add, add)
    assert count == 2


@program
async def default_argument_shared(probe: Probe) -> None:
    async def collect(item: int, into: list[int] = []) -> None:  # noqa: B006 - the bug
        into.append(item)
        await turn()
        into[:] = [one for one in into if one != item]
        seen.append(len(into))

    seen: list[int] = []
    await together(functools.partial(collect, 1), functools.partial(collect, 2))
    assert seen == [0, 0] or sorted(seen) == [0, 1]
    assert seen != [0, 0]


@program
async def context_variable_shared(probe: Probe) -> None:
    variable: contextvars.ContextVar[list[int]] = contextvars.ContextVar("variable")
    variable.set([])

    async def push(number: int) -> None:
        stack = variable.get()
        stack.append(number)
        await turn()
        popped.append(stack.pop() == number)

    popped: list[bool] = []
    await together(functools.partial(push, 1), functools.partial(push, 2))
    assert all(popped)


@program
async def iterator_shared(probe: Probe) -> None:
    numbers = iter(range(4))

    async def take() -> None:
        one = next(numbers)
        await turn()
        pairs.append((one, next(numbers)))

    pairs: list[tuple[int, int]] = []
    await together(take, take)
    assert all(other == one + 1 for one, other in pairs)


@program
async def generator_shared(probe: Probe) -> None:
    def ids() -> Iterator[int]:
        yield from itertools.count()

    source = ids()

    async def take() -> None:
        first = next(source)
        await turn()
        gaps.append(next(source) - first)

    gaps: list[int] = []
    await together(take, take)
    assert 3 not in gaps


@program
async def bound_method_shared(probe: Probe) -> None:
    log: list[str] = []
    append = log.append

    async def line(name: str) -> None:
        append(f"{name}<")
        await turn()
        append(f"{name}>")

    await together(functools.partial(line, "a"), functools.partial(line, "b"))
    assert "".join(log) in ("a<a>b<b>", "b<b>a<a>")


@program
async def deque_overtaken(probe: Probe) -> None:
    queue: deque[int] = deque()

    async def put(number: int) -> None:
        await turn()
        queue.append(number)

    async def double() -> None:
        await turn()
        if len(queue) == 1:
            await turn()
            assert len(queue) == 1

    await together(functools.partial(put, 1), functools.partial(put, 2), double)


@program
async def ordered_dict_moved(probe: Probe) -> None:
    cache: OrderedDict[str, int] = OrderedDict(a=1, b=2)

    async def use(name: str) -> None:
        if name in cache:
            await turn()
            cache.move_to_end(name)

    async def evict() -> None:
        await turn()
        cache.popitem(last=False)

    await together(functools.partial(use, "a"), evict)


@program
async def default_dict_lost(probe: Probe) -> None:
    counts: defaultdict[str, int] = defaultdict(int)

    async def count() -> None:
        seen = counts["a"]
        await turn()
        counts["a"] = seen + 1

    await together(count, count)
    assert counts["a"] == 2


@program
async def set_claimed_twice(probe: Probe) -> None:
    taken: set[int] = set()

    async def claim() -> None:
        free = min({1, 2, 3} - taken)
        await turn()
        taken.add(free)

    await together(claim, claim)
    assert taken == {1, 2}


@program
async def second_look_too_late(probe: Probe) -> None:
    state = {"open": True, "sent": 0}

    async def send() -> None:
        if state["open"]:
            await turn()
            await turn()
            assert state["open"]
            state["sent"] += 1

    async def close() -> None:
        for _ in range(3):
            await turn()
        if not state["sent"]:
            state["open"] = False

    await together(send, close)


@program
async def event_replaced(probe: Probe) -> None:
    events = [trio.Event()]

    async def wait() -> None:
        await turn()
        await events[0].wait()

    async def pulse() -> None:
        await turn()
        old, events[0] = events[0], trio.Event()
        old.set()

    with trio.move_on_after(1) as scope:
        await together(wait, pulse)
    assert not scope.cancelled_caught


@program
async def both_wait_for_the_other(probe: Probe) -> None:
    wants = {"a": False, "b": False}
    events = {"a": trio.Event(), "b": trio.Event()}

    async def run(me: str, other: str) -> None:
        wants[me] = True
        await turn()
        if wants[other]:
            await events[other].wait()
        wants[me] = False
        events[me].set()

    await together(functools.partial(run, "a", "b"), functools.partial(run, "b", "a"))


@program
async def spawned_before_registered(probe: Probe) -> None:
    names: dict[int, str] = {}

    async def child(number: int) -> None:
        assert number in names

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(child, number)
            await turn()
            names[number] = "child"


@program
async def last_one_out(probe: Probe) -> None:
    left = [3]
    closed: list[int] = []

    async def leave() -> None:
        left[0] -= 1
        await turn()
        if left[0] == 0:
            closed.append(1)

    await together(leave, leave, leave)
    assert len(closed) == 1


@program
async def three_in_a_certain_order(probe: Probe) -> None:
    log: list[str] = []

    async def say(name: str) -> None:
        await turn()
        log.append(name)

    await together(*(functools.partial(say, name) for name in "abc"))
    assert log != ["c", "a", "b"]


@program
async def channel_of_one_reordered(probe: Probe) -> None:
    send, receive = trio.open_memory_channel[int](1)
    seen: list[int] = []

    async def produce(number: int) -> None:
        await turn()
        await send.send(number)

    async def consume() -> None:
        seen.extend([await receive.receive() for _ in range(2)])

    await together(functools.partial(produce, 1), functools.partial(produce, 2), consume)
    assert seen == [1, 2]


@program
async def nowait_gives_up(probe: Probe) -> None:
    send, receive = trio.open_memory_channel[int](1)

    async def produce() -> None:
        await turn()
        send.send_nowait(1)

    async def consume() -> None:
        await turn()
        await turn()
        got.append(receive.receive_nowait())

    got: list[int] = []
    await together(consume, produce)
    assert got == [1]


@program
async def lock_around_the_wrong_thing(probe: Probe) -> None:
    lock = trio.Lock()
    value = [0]

    async def add() -> None:
        seen = value[0]
        async with lock:
            value[0] = seen + 1

    await together(add, add)
    assert value[0] == 2


@program
async def semaphore_counted_by_hand(probe: Probe) -> None:
    free = [1]

    async def use() -> None:
        for _ in range(2):
            if free[0]:
                break
            await turn()
        await turn()
        free[0] -= 1
        assert free[0] >= 0
        await turn()
        free[0] += 1

    await together(use, use)


@program
async def task_ends_before_it_is_read(probe: Probe) -> None:
    results: dict[str, int] = {}

    async def compute() -> None:
        await turn()
        results["a"] = 1

    async def read() -> None:
        await turn()
        await turn()
        assert "a" in results

    await together(read, compute)


@program
async def scope_read_too_early(probe: Probe) -> None:
    scope = trio.CancelScope()
    seen: list[bool] = []

    async def work() -> None:
        with scope:
            scope.cancel()
            await turn()

    async def look() -> None:
        await turn()
        seen.append(scope.cancelled_caught)

    await together(work, look)
    assert seen == [True]


@program
async def partial_update_seen(probe: Probe) -> None:
    point = {"x": 0, "y": 0}

    async def move() -> None:
        point["x"] += 1
        await turn()
        point["y"] += 1

    async def look() -> None:
        for _ in range(2):
            await turn()
        assert point["x"] == point["y"]

    await together(look, move)


@program
async def nested_nursery_overtaken(probe: Probe) -> None:
    log: list[str] = []

    async def say(name: str) -> None:
        log.append(name)

    async def inner() -> None:
        await together(functools.partial(say, "in"))
        log.append("after")

    await together(inner, functools.partial(say, "out"))
    assert log != ["in", "out", "after"]


@program
async def cached_while_computing(probe: Probe) -> None:
    cache: dict[str, int] = {}
    calls: list[int] = []

    async def get() -> int:
        if "a" not in cache:
            calls.append(1)
            await turn()
            cache["a"] = 1
        return cache["a"]

    async def use() -> None:
        await turn()
        await get()

    await together(use, use)
    assert len(calls) == 1


@program
async def same_name_in_two_closures(probe: Probe) -> None:
    def make() -> tuple[Callable[[], None], Callable[[], int]]:
        value = 0

        def add() -> None:
            nonlocal value
            value += 1

        return add, lambda: value

    add, read = make()

    async def adds() -> None:
        await turn()
        add()

    async def reads() -> None:
        first = read()
        await turn()
        assert read() == first

    await together(adds, reads)
