"""What `step` takes and makes, and what a step is called with. Checked by mypy and pyright, never run.

An error that has to be one carries an ignore of its own for each checker; both report an ignore without an error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_type

import trio

from trio_steps import (
    CircuitBreaker,
    Fork,
    RateLimit,
    Retry,
    Step,
    StepDecorator,
    current_scope,
    fork,
    gather,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def number() -> int:
    return 1


async def length(topic: str) -> int:
    return len(topic)


async def search(kind: str, topic: str) -> int:
    return len(kind + topic)


async def optional(topic: str = "", *, limit: int = 1) -> int:
    return len(topic) + limit


async def any_number(*numbers: int) -> int:
    return sum(numbers)


def sync_number() -> int:
    return 1


def sync_length(topic: str) -> int:
    return len(topic)


@step
async def plain(topic: str) -> int:
    return len(topic)


@step(timeout=2.0, retry=Retry(attempts=3, backoff="exponential", delay=0.25, on=OSError))
async def with_policies(topic: str) -> int:
    return len(topic)


@step(id="another", total_timeout=5, circuit_breaker=CircuitBreaker(3, 10.0), limiter=trio.CapacityLimiter(2))
async def without_input() -> int:
    return 1


@step(timeout=1)
def sync(topic: str) -> bytes:
    return topic.encode()


class Resource:
    async def __call__(self) -> int:
        return 1

    async def length(self, topic: str) -> int:
        return len(topic)


class Service:
    async def __call__(self, topic: str) -> int:
        return len(topic)


class Api:
    """A class whose methods are steps, above and below the decorators that type checkers know."""

    @step(timeout=3)
    async def get(self, key: str, *, fresh: bool = False) -> bytes:
        return key.encode()

    @step
    def sync(self) -> int:
        return 1

    @classmethod
    @step
    async def above(cls, key: str) -> bytes:
        return key.encode()

    @step(timeout=3)
    @classmethod
    async def below(cls, key: str) -> bytes:
        return key.encode()

    @staticmethod
    @step
    async def static_above(key: str) -> bytes:
        return key.encode()

    @step(timeout=3)
    @staticmethod
    async def static_below(key: str) -> bytes:
        return key.encode()


async def a_step_is_called_like_its_function() -> None:
    assert_type(await plain("quantum"), int)
    assert_type(await plain(topic="quantum"), int)
    assert_type(await with_policies(topic="quantum"), int)
    assert_type(await without_input(), int)
    assert_type(await sync("quantum"), bytes)
    assert_type(await step(search, timeout=2.0)("books", topic="quantum"), int)
    assert_type(await step(timeout=2.0)(search)("books", "quantum"), int)
    assert_type(await step(optional)(), int)
    assert_type(await step(optional)("quantum", limit=3), int)
    assert_type(await step(any_number)(1, 2, 3), int)
    assert_type(current_scope().name, str)
    assert_type(current_scope().attempt, int)


async def a_step_is_not_called_otherwise() -> None:
    await plain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await plain("quantum", "mechanics")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain(subject="quantum")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await without_input("quantum")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await step(search)("books")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await step(optional)("quantum", limit="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_step_is_run_with_what_it_is_called_with() -> None:
    assert_type(await plain.run("quantum", observers=[print], state={"seen": 1}), int)
    assert_type(await without_input.run(), int)
    assert_type(await without_input.run(observers=(), state=None), int)
    assert_type(await step(optional).run(), int)
    assert_type(await step(optional).run("quantum"), int)
    assert_type(await step(search).run("books", "quantum", observers=[print]), int)
    assert_type(await step(any_number).run(), int)


async def a_step_is_not_run_otherwise() -> None:
    await plain.run()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain.run(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await plain.run("quantum", observer=[print])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await without_input.run("quantum")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


async def a_step_is_a_method(api: Api) -> None:
    assert_type(await api.get("key"), bytes)
    assert_type(await api.get("key", fresh=True), bytes)
    assert_type(await api.get.run("key", observers=[print]), bytes)
    assert_type(await api.sync(), int)
    assert_type(await Api.get(api, "key"), bytes)
    assert_type(await gather(api.sync, partial(api.get, "key")), tuple[int, bytes])
    assert_type(await Api.above("key"), bytes)
    assert_type(await Api.below("key"), bytes)
    assert_type(await api.above("key"), bytes)
    assert_type(await api.below("key"), bytes)
    assert_type(await Api.static_above("key"), bytes)
    assert_type(await Api.static_below("key"), bytes)


async def a_step_is_no_other_method(api: Api) -> None:
    await api.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await api.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await api.get("key", fresh="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await api.above(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Api.below(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await Api.static_above(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def step_takes_every_kind_of_callable(loose: Callable[[bytes], Awaitable[float]]) -> None:
    nullary: list[Step[[], int]] = [
        step(number),
        step(sync_number),
        step(Resource()),
        step(lambda: number()),
        step(lambda: 1),
        step(without_input, timeout=1.0),
    ]
    unary: list[Step[[str], int]] = [
        step(length),
        step(sync_length, id="length"),
        step(Resource().length),
        step(Service()),
        step(plain, timeout=1.0),
        step(fork("f", mode="race", paths=[length])),
        step(fork("f", mode="race", paths=[step(length)])),
    ]
    other: Step[[bytes], float] = step(loose)
    assert_type(step(timeout=2.0), StepDecorator)
    del nullary, unary, other


async def step_takes_partials() -> None:
    """To mypy a partial takes any arguments, and so does a step of it."""
    assert_type(await step(partial(length, "quantum"))(), int)
    assert_type(await step(partial(plain, "quantum"), timeout=2.0)(), int)
    assert_type(await step(partial(sync_length, "quantum"))(), int)
    assert_type(await step(partial(search, "books"))("quantum"), int)


def policies_are_typed() -> None:
    Retry(3, delay=lambda error, attempt: 1.0 if attempt < 2 else None)
    Retry(3, on=lambda error: isinstance(error, OSError), accept=lambda value: value is not None)
    CircuitBreaker(3, cooldown=10, on=(OSError, TimeoutError))
    CircuitBreaker(3, cooldown=10, on=BaseException)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Retry(3, delay=lambda error: 1.0)  # type: ignore[misc, arg-type]  # pyright: ignore[reportArgumentType]
    RateLimit(10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def step_refuses() -> None:
    step(length, timeout="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    step(length, tiemout=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    step("length")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def steps_are_covariant_in_their_output_and_callables_contravariant_in_their_input(
    narrow: Step[[str], bool], wide: Step[[object], bool], race: Fork[str, bool]
) -> None:
    """Type checkers know no variance for a step's parameters, so use a callable type."""
    steps: list[Step[[str], int]] = [narrow, race]
    call: Callable[[str], Awaitable[float]] = wide
    no_input: Callable[[], Awaitable[float]] = without_input
    del steps, call, no_input


def steps_are_not_what_they_are_not(narrow: Step[[str], int]) -> None:
    wide: Step[[object], bool] = narrow  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    no_input: Callable[[], Awaitable[int]] = narrow  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del wide, no_input
