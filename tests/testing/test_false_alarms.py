"""Correct programs that might look wrong: nothing is found in any of them."""

from __future__ import annotations

import contextlib
import functools
import random
import time
import uuid
from typing import Any

import anyio
import pytest
import trio
import trio_util
from outcome import acapture
from tricycle import RWLock, open_service_nursery
from trio.testing import Sequencer, memory_stream_pair

from trio_steps import Retry, gather, race, settle, step
from trio_steps.testing import Probe, explore, sweep_faults, sweep_timeouts

CORRECT: list[Any] = []
OPTIONS: dict[str, dict[str, Any]] = {}


def correct(program: Any = None, **options: Any) -> Any:
    """Put a program on the list, with the options that its user has to give to `explore`."""
    if program is None:
        return functools.partial(correct, **options)
    CORRECT.append(program)
    OPTIONS[program.__name__] = options
    return program


# ownership


async def opened(probe: Probe, name: str = "conn") -> Any:
    resource = probe.resource(name)
    try:
        await trio.sleep(1)
    except BaseException:
        resource.close()
        raise
    return resource


@correct
async def owned_by_an_exit_stack(probe: Probe) -> Any:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(probe.resource("conn"))
        await trio.sleep(1)
        return stack.pop_all()


@correct
async def owned_by_a_callback_of_an_exit_stack(probe: Probe) -> Any:
    with contextlib.ExitStack() as stack:
        stack.callback(probe.resource("conn").close)
        await trio.sleep(1)
        return stack.pop_all()


@correct
async def owned_by_a_bound_method(probe: Probe) -> Any:
    return (await opened(probe)).aclose


@correct
async def owned_by_a_closure(probe: Probe) -> Any:
    resource = await opened(probe)
    return lambda: resource.close()


@correct
async def owned_by_a_partial(probe: Probe) -> Any:
    return functools.partial((await opened(probe)).close)


@correct
async def owned_by_an_attribute_of_a_class_of_its_own(probe: Probe) -> Any:
    class Client:
        conn: Any = None

    client = Client()
    client.conn = await opened(probe)
    return client


@correct
async def owned_by_a_private_slot(probe: Probe) -> Any:
    class Client:
        __slots__ = ("__conn",)

        def __init__(self, conn: Any) -> None:
            self.__conn = conn

    return Client(await opened(probe))


@correct
async def owned_by_a_generator(probe: Probe) -> Any:
    def later(resource: Any) -> Any:
        yield resource

    return later(await opened(probe))


# locks


@correct
async def semaphore_below_its_max(probe: Probe) -> None:
    slots = trio.Semaphore(2, max_value=5)
    async with slots:
        await trio.sleep(1)


@correct
async def semaphore_that_counts_items(probe: Probe) -> None:
    items = trio.Semaphore(3)
    for _ in range(3):
        await items.acquire()


@correct
async def semaphore_as_a_signal(probe: Probe) -> None:
    ready = trio.Semaphore(0, max_value=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ready.acquire)
        await trio.sleep(1)
        ready.release()


@correct
async def limiter_that_is_resized(probe: Probe) -> None:
    limiter = trio.CapacityLimiter(1)
    async with limiter:
        limiter.total_tokens = 3
        await trio.sleep(1)


@correct
async def limiters_of_anyio(probe: Probe) -> None:
    limiter, lock, slots = anyio.CapacityLimiter(1), probe.watch(anyio.Lock()), probe.watch(anyio.Semaphore(2))
    async with limiter, lock, slots:
        await anyio.sleep(1)


@correct
async def lock_of_a_package_called_like_trio(probe: Probe) -> None:
    lock = RWLock()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(read, lock)


async def read(lock: RWLock) -> None:
    async with lock.read_locked():
        await trio.sleep(1)


LOCK, LIMITER, SLOTS = anyio.Lock(), anyio.CapacityLimiter(2), anyio.Semaphore(2)  # made outside of an event loop


@correct
async def locks_of_anyio_that_all_runs_share(probe: Probe) -> None:
    async with LOCK, LIMITER, SLOTS:
        await anyio.sleep(1)


@correct
async def waiters_with_timeouts_at_locks_of_anyio(probe: Probe) -> None:
    limiter, ready = probe.watch(anyio.CapacityLimiter(1)), probe.watch(anyio.Condition())

    async def work() -> None:
        with anyio.move_on_after(2):
            async with limiter:
                await anyio.sleep(1)

    async def wait() -> None:
        with anyio.move_on_after(9):
            async with ready:
                await ready.wait()

    async with anyio.create_task_group() as group:
        for function in (work, work, work, wait):
            group.start_soon(function)
        await anyio.sleep(1)
        async with ready:
            ready.notify_all()


@correct
async def tokens_on_behalf_of_others(probe: Probe) -> None:
    limiter, plain = probe.watch(anyio.CapacityLimiter(float("inf"))), trio.CapacityLimiter(1)
    for lent in (limiter, plain):
        await lent.acquire_on_behalf_of(probe)
        try:
            await trio.sleep(1)
        finally:
            lent.release_on_behalf_of(probe)


@correct
async def semaphore_that_is_filled_later(probe: Probe) -> None:
    slots = trio.Semaphore(0, max_value=3)
    for _ in range(3):
        slots.release()
    async with slots:
        await trio.sleep(1)


@correct
async def lock_that_belongs_to_the_caller(probe: Probe) -> Any:
    slots = trio.Semaphore(1, max_value=1)
    await slots.acquire()
    return {"slots": iter([slots])}


@correct
async def waiters_with_timeouts_at_everything_of_trio(probe: Probe) -> None:
    slots, lock, lot = trio.Semaphore(1, max_value=1), trio.StrictFIFOLock(), trio.lowlevel.ParkingLot()

    async def work(held: Any) -> None:
        with trio.move_on_after(2):
            async with held:
                await trio.sleep(1)

    async def park() -> None:
        with trio.move_on_after(3):
            await lot.park()

    async with trio.open_nursery() as nursery:
        for held in (slots, lock, slots, lock):
            nursery.start_soon(work, held)
        nursery.start_soon(park)
        await trio.sleep(1)
        lot.unpark_all()


@correct
async def limiter_of_a_thread_that_is_abandoned(probe: Probe) -> None:
    limiter = probe.watch(trio.CapacityLimiter(1))
    with trio.move_on_after(1):
        await trio.to_thread.run_sync(time.sleep, 0.001, limiter=limiter, abandon_on_cancel=True)


# async generators


async def numbers() -> Any:
    for number in range(3):
        await trio.sleep(1)
        yield number


@correct
async def generator_with_nothing_to_clean_up(probe: Probe) -> Any:
    async for number in numbers():
        return number


@correct
async def generator_with_an_except_that_is_no_clean_up(probe: Probe) -> Any:
    async def parsed() -> Any:
        async for number in numbers():
            try:
                yield int(number)
            except ValueError:
                yield -1

    async for number in parsed():
        return number


@correct
async def generator_with_a_clean_up_behind_it(probe: Probe) -> Any:
    async def counted() -> Any:
        async with probe.resource("conn"):
            await trio.sleep(1)
        yield 1
        yield 2

    async for number in counted():
        return number


@correct
async def generator_that_is_closed(probe: Probe) -> Any:
    async def guarded() -> Any:
        async with probe.resource("conn"):
            yield 1

    async with contextlib.aclosing(guarded()) as generator:
        async for number in generator:
            return number


# timeouts


@correct
async def timeout_with_an_error_of_its_own(probe: Probe) -> None:
    with trio.fail_after(5):
        await trio.sleep(1)


@correct(values="any")
async def timeout_with_a_fallback(probe: Probe) -> str:
    with trio.move_on_after(5):
        await trio.sleep(1)
        return "fresh"
    return "stale"


@correct
async def timeout_around_a_shielded_clean_up(probe: Probe) -> None:
    async with probe.resource("conn"):
        try:
            with trio.move_on_after(5):
                await trio.sleep(1)
        finally:
            with trio.move_on_after(1, shield=True):
                await trio.sleep(0.5)


@correct
async def timeouts_inside_of_each_other(probe: Probe) -> None:
    with trio.move_on_after(5):
        try:
            with trio.fail_after(3):
                await trio.sleep(1)
        except trio.TooSlowError:
            await trio.sleep(0.5)


@correct
async def step_with_a_timeout_and_a_retry(probe: Probe) -> Any:
    async def fetch() -> str:
        async with probe.resource("conn"):
            await trio.sleep(1)
        return "fetched"

    return await step(fetch, timeout=3, retry=Retry(2)).run()


@correct
async def attempts_until_one_is_in_time(probe: Probe) -> str:
    for seconds in (1, 2, 4):
        with trio.move_on_after(seconds):
            await trio.sleep(0.5)
            return "done"
    await trio.sleep(0.5)
    return "done"


# tasks, cancellation and values


@correct
async def first_of_two(probe: Probe) -> Any:
    async def fetch(seconds: float) -> str:
        async with probe.resource("conn"):
            await trio.sleep(seconds)
        return "fetched"

    return await race(functools.partial(fetch, 1), functools.partial(fetch, 2))


@correct
async def all_of_two_and_what_became_of_two(probe: Probe) -> None:
    async def nap() -> None:
        await trio.sleep(1)

    await gather(nap, nap)
    await settle(nap, nap)


@correct
async def request_that_is_sent_again_when_it_is_slow(probe: Probe) -> Any:
    async def fetch() -> str:
        await trio.sleep(1)
        return "fetched"

    return await race(fetch, fetch, stagger=0.5)


@correct
async def cancelled_that_is_looked_at_and_raised_again(probe: Probe) -> None:
    conn = probe.resource("conn")
    try:
        await trio.sleep(1)
    except BaseException:
        conn.close()
        raise
    conn.close()


@correct
async def error_that_is_kept_with_acapture(probe: Probe) -> Any:
    async def fails() -> None:
        await trio.sleep(1)
        raise OSError("expected")

    result = await acapture(fails)
    if isinstance(getattr(result, "error", None), trio.Cancelled):
        raise result.error
    return type(result).__name__


@correct
async def service_that_outlives_its_clients(probe: Probe) -> None:
    send, receive = trio.open_memory_channel[int](0)

    async def serve() -> None:
        async with receive:
            async for _ in receive:
                pass

    async with open_service_nursery() as nursery:
        nursery.start_soon(serve)
        async with send:
            await send.send(1)


@correct
async def service_that_reports_when_it_is_up(probe: Probe) -> str:
    async def serve(*, task_status: trio.TaskStatus[str]) -> None:
        async with probe.resource("service"):
            await trio.sleep(1)
            task_status.started("up")
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        up: str = await nursery.start(serve)
        nursery.cancel_scope.cancel()
    return up


@correct
async def value_that_several_tasks_wait_for(probe: Probe) -> None:
    value: Any = trio_util.AsyncValue(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(value.wait_value, 1)
        await trio.sleep(1)
        value.value = 1


@correct
async def streams_in_memory(probe: Probe) -> Any:
    client, server = memory_stream_pair()
    async with client, server:
        await client.send_all(b"x")
        return await server.receive_some()


@correct(allow=RuntimeError)  # raised after a turn was cancelled: the sequence is broken
async def order_that_is_made_by_a_sequencer(probe: Probe) -> list[int]:
    turns: list[int] = []
    sequencer = Sequencer()

    async def turn(number: int) -> None:
        async with sequencer(number):
            turns.append(number)

    async with trio.open_nursery() as nursery:
        for number in (1, 0):
            nursery.start_soon(turn, number)
    return turns


@correct
async def errors_that_are_handled_in_a_group(probe: Probe) -> None:
    async def fails() -> None:
        await trio.sleep(1)
        raise OSError("expected")

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            nursery.start_soon(fails)
            with trio.move_on_after(4):
                await trio.sleep(2)
    except* OSError:
        pass


@correct
async def senders_with_timeouts_at_clones_of_a_channel(probe: Probe) -> None:
    send, receive = trio.open_memory_channel[int](1)

    async def produce(channel: trio.MemorySendChannel[int]) -> None:
        async with channel:
            for number in range(2):
                with trio.move_on_after(2):
                    await channel.send(number)

    async with trio.open_nursery() as nursery, receive:
        async with send:
            for _ in range(2):
                nursery.start_soon(produce, send.clone())
        async for _ in receive:
            await trio.lowlevel.checkpoint()


@correct(values="any")
async def task_of_the_system(probe: Probe) -> None:
    done = trio.Event()

    async def work() -> None:
        try:
            await trio.sleep(1)
        finally:
            done.set()

    trio.lowlevel.spawn_system_task(work)
    with trio.move_on_after(4):
        await done.wait()


@correct
async def sockets_with_timeouts(probe: Probe) -> None:
    one, other = trio.socket.socketpair()

    async def receive() -> None:
        with trio.move_on_after(3):
            await one.recv(1)

    with one, other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await other.send(b"x")


# time, chance and threads


@correct(clock=True)
async def loop_until_the_clock_of_python_says_so(probe: Probe) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        await trio.sleep(0.5)


@correct(clock=True)
async def loop_that_does_not_even_wait(probe: Probe) -> None:
    await trio.sleep(1)
    end = time.perf_counter() + 30
    while time.perf_counter() < end:
        pass


@correct
async def chance_with_a_seed(probe: Probe) -> float:
    chance = random.Random(7)
    await trio.sleep(chance.random())
    return chance.random()


@correct(ignore="determinism")
async def value_that_is_another_one_each_time(probe: Probe) -> str:
    with trio.CancelScope(shield=True):
        await trio.sleep(1)
    return str(uuid.uuid4())


@correct(allow=OSError)
async def error_that_may_come(probe: Probe) -> None:
    async with probe.resource("conn"):
        await trio.sleep(1)
        raise OSError("no route to host")


def test_there_are_more_than_fifty_of_them() -> None:
    assert len(CORRECT) >= 50


@pytest.mark.parametrize("program", CORRECT, ids=lambda program: program.__name__)
def test_correct_program_is_explored_in_silence(program: Any) -> None:
    options = OPTIONS[program.__name__]
    report = explore(program, budget=150, **options)
    assert report.ok, str(report)
    assert sum(report.ignored.values()) == 0 or "ignore" in options


@pytest.mark.parametrize("program", CORRECT, ids=lambda program: program.__name__)
def test_correct_program_survives_every_timeout_and_every_fault(program: Any) -> None:
    options = OPTIONS[program.__name__]
    report = sweep_timeouts(program, **options)
    assert report.ok, str(report)
    faults = sweep_faults(program, ConnectionError, **{**options, "values": "any", "ignore": _JUDGED})
    assert faults.ok, str(faults)


# A fault may come between a lock and its with, and between a timeout and its clean-up. Only what is left behind counts.
_JUDGED = ("determinism", "outcome")
