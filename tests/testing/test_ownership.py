"""Resources in the value of a program belong to its caller, at any depth; others do not."""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
import itertools
import queue
import types
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import attrs
import outcome
import pytest
import trio

from trio_steps.testing import Probe, Resource, run_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Owner = Any


class Client:
    """An object that keeps what it is given."""

    def __init__(self, conn: object) -> None:
        self._conn = conn

    async def aclose(self) -> None:
        """Close it."""


@attrs.frozen
class Frozen:
    conn: object


@dataclass(slots=True)
class Slotted:
    conn: object


def stack_in_a_client(conn: Resource[None]) -> Owner:
    stack = contextlib.AsyncExitStack()
    stack.push_async_callback(conn.aclose)
    return {"clients": [Client(Client(stack))]}


def stack_in_a_stack_in_a_stack(conn: Resource[None]) -> Owner:
    inner, middle, outer = contextlib.ExitStack(), contextlib.AsyncExitStack(), contextlib.AsyncExitStack()
    inner.enter_context(conn)
    middle.enter_context(inner)
    outer.push_async_callback(middle.aclose)
    return outer


def entered_context_manager(conn: Resource[None]) -> Owner:
    @contextlib.asynccontextmanager
    async def managed() -> AsyncIterator[None]:
        async with conn:
            yield

    manager = managed()
    with contextlib.suppress(StopIteration):
        manager.__aenter__().send(None)
    return manager


def many_others(conn: Resource[None]) -> Owner:
    return [*(object() for _ in range(5000)), conn]


def deep_down(conn: Resource[None]) -> Owner:
    return functools.reduce(lambda inner, number: (number, inner), range(3000), (conn,))


def channel(conn: Resource[None]) -> Owner:
    send, receive = trio.open_memory_channel[Resource[None]](1)
    send.send_nowait(conn)
    return receive


def simple_queue(conn: Resource[None]) -> Owner:
    waiting: queue.SimpleQueue[Resource[None]] = queue.SimpleQueue()
    waiting.put(conn)
    return waiting


def cache(conn: Resource[None]) -> Owner:
    given = [conn]

    @functools.cache
    def get(_: str) -> Resource[None]:
        return given.pop()

    get("key")
    return get


def decorated(conn: Resource[None]) -> Owner:
    def logged(function: Callable[[], object]) -> Callable[[], object]:
        @functools.wraps(function)
        def wrapper() -> object:
            return function()

        return wrapper

    @logged
    @logged
    @logged
    def close() -> None:
        conn.close()

    return close


def property_of_a_class(conn: Resource[None]) -> Owner:
    class Holder:
        @property
        def conn(self) -> object:
            return conn

    return Holder()


def method_of_a_class(conn: Resource[None]) -> Owner:
    class Holder:
        close = functools.partialmethod(lambda _, conn: conn.close(), conn)

    return Holder


def error(conn: Resource[None]) -> Owner:
    return OSError("the connection is still open", conn)


def mapping_that_can_not_be_read(conn: Resource[None]) -> Owner:
    class Lazy(collections.abc.Mapping[int, int]):
        def __init__(self) -> None:
            self.conn = conn

        def __getitem__(self, key: int) -> int:
            raise AssertionError("nobody looks anything up")

        def __iter__(self) -> Any:
            return itertools.count()

        def __len__(self) -> int:
            raise AssertionError("nobody counts")

    return Lazy()


def object_that_answers_nothing(conn: Resource[None]) -> Owner:
    class Silent:
        def __init__(self) -> None:
            self.conn = conn

        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"nobody asks for {name}")

    return Silent()


OWNERS: list[Any] = [
    stack_in_a_client, stack_in_a_stack_in_a_stack, entered_context_manager, many_others, deep_down, channel,
    simple_queue, cache, decorated, property_of_a_class, method_of_a_class, error, mapping_that_can_not_be_read,
]  # fmt: skip
SHORT: dict[str, Any] = {
    "attrs": Frozen,
    "bound_method_of_the_owner": lambda conn: Client(Client(conn)).aclose,
    "chain": lambda conn: itertools.chain([conn], [1]),
    "chain_of_maps": lambda conn: collections.ChainMap({}, {"conn": conn}),
    "coroutine": lambda conn: Client(conn).aclose(),
    "dataclass": Slotted,
    "default_argument": lambda conn: lambda conn=conn: conn.close(),
    "frozen_mapping": lambda conn: types.MappingProxyType({"conn": conn}),
    "iterator": lambda conn: iter([conn]),
    "map": lambda conn: map(str, [conn]),
    "namespace": lambda conn: types.SimpleNamespace(conn=conn),
    "outcome": outcome.Value,
    "values_of_a_dict": lambda conn: {"conn": conn}.values(),
}


@pytest.mark.parametrize("owner", [*OWNERS, *SHORT.values()], ids=[*(owner.__name__ for owner in OWNERS), *SHORT])
def test_resource_in_the_result_belongs_to_the_caller(owner: Any) -> None:
    results: list[object] = []

    async def program(probe: Probe) -> Owner:
        results.append(owner(probe.resource("conn")))
        return results[0]

    run = run_once(program)
    assert run.findings == ()
    if inspect.iscoroutine(results[0]):
        results[0].close()


def test_result_is_not_asked_for_what_it_holds() -> None:
    async def program(probe: Probe) -> Owner:
        return [object_that_answers_nothing(probe.resource("conn"))]

    assert run_once(program).findings == ()


async def knows_the_probe(probe: Probe) -> Owner:
    probe.resource("conn")
    return lambda: probe


async def knows_a_scope(probe: Probe) -> Owner:
    conn = probe.resource("conn")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1, name=f"{conn}")
    return [nursery, nursery.cancel_scope, trio.lowlevel.current_task()]


async def knows_it_weakly(probe: Probe) -> Owner:
    conn = probe.resource("conn")
    return weakref.ref(conn)


async def knows_an_error_that_met_it(probe: Probe) -> Owner:
    try:
        try:
            raise LookupError(probe.resource("conn"))
        except LookupError as error:
            raise OSError("no route") from error
    except OSError as error:
        return error


async def knows_a_function_of_the_module(probe: Probe) -> Owner:
    KEPT.append(probe.resource("conn"))
    return knows_it_weakly


KEPT: list[object] = []


@pytest.mark.parametrize(
    "program",
    [
        knows_the_probe,
        knows_a_scope,
        knows_it_weakly,
        knows_an_error_that_met_it,
        knows_a_function_of_the_module,
    ],
)
def test_what_the_result_only_knows_of_is_not_its_own(program: Any) -> None:
    (finding,) = run_once(program).findings
    assert finding.invariant == "resource"
    KEPT.clear()


def test_resource_that_is_returned_and_was_closed_twice_is_found() -> None:
    async def program(probe: Probe) -> Owner:
        conn = probe.resource("conn")
        conn.close()
        conn.close()
        return conn

    (finding,) = run_once(program).findings
    assert "was closed 2 times" in finding.message


def test_of_several_resources_those_in_the_result_belong_to_the_caller() -> None:
    async def program(probe: Probe) -> Owner:
        first, _, third = (probe.resource(name) for name in ("first", "second", "third"))
        return [first, Client(third)]

    assert ["'second'" in finding.message for finding in run_once(program).findings] == [True]

    async def owns_all(probe: Probe) -> Owner:
        return [probe.resource("first"), Client(probe.resource("second"))]

    assert run_once(owns_all).findings == ()


def test_lock_in_the_result_belongs_to_the_caller() -> None:
    async def program(probe: Probe) -> Owner:
        lock = trio.Lock()
        await lock.acquire()
        return {"locks": iter([Client(lock)])}

    assert run_once(program).findings == ()


def test_cancelled_in_a_closure_of_the_result_is_found() -> None:
    async def program(probe: Probe) -> Owner:
        with trio.CancelScope() as scope:
            scope.cancel()
            caught = await outcome.acapture(trio.sleep, 1)
        return lambda: caught

    (finding,) = run_once(program).findings
    assert finding.what == "stored"
