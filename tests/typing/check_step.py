"""What `step` takes and makes, and what a step is called with. Checked by mypy and pyright, never run.

An error that has to be one carries an ignore of its own for each checker; both report an ignore without an error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Never, assert_type

import trio

from trio_steps import CircuitBreaker, Fork, Retry, Step, StepDecorator, current_scope, fork, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def number() -> int:
    return 1


async def length(topic: str) -> int:
    return len(topic)


async def search(kind: str, topic: str) -> int:
    return len(kind + topic)


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


def decorated_functions_keep_their_types() -> None:
    assert_type(plain, Step[str, int])
    assert_type(with_policies, Step[str, int])
    assert_type(without_input, Step[None, int])
    assert_type(sync, Step[str, bytes])
    assert_type(step(timeout=2.0), StepDecorator)


def step_takes_every_kind_of_callable(loose: Callable[[bytes], Awaitable[float]]) -> None:
    assert_type(step(number), Step[None, int])
    assert_type(step(length), Step[str, int])
    assert_type(step(sync_number), Step[None, int])
    assert_type(step(sync_length, id="length"), Step[str, int])
    assert_type(step(loose), Step[bytes, float])
    assert_type(step(Resource()), Step[None, int])
    assert_type(step(Resource().length), Step[str, int])
    assert_type(step(Service()), Step[str, int])
    assert_type(step(lambda: number()), Step[None, int])
    assert_type(step(plain, timeout=1.0), Step[str, int])
    assert_type(step(without_input, timeout=1.0), Step[None, int])
    assert_type(step(fork("f", mode="race", paths=[length])), Step[str, int])


async def step_of_several_arguments_is_for_pipelines() -> None:
    async def keyword(*, topic: str) -> int:
        return len(topic)

    several = step(search, timeout=2.0)
    assert_type(several, Step[Never, int])
    assert_type(step(keyword), Step[Never, int])
    assert_type(step(timeout=2.0)(search), Step[Never, int])
    await several()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await several("books")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def step_takes_partials() -> None:
    """To mypy a partial takes no matter what, and so does a step of it."""
    nullary: Step[None, int] = step(partial(length, "quantum"))
    unary: Step[str, int] = step(partial(search, "books"))
    sync_nullary: Step[None, int] = step(partial(sync_length, "quantum"))
    del nullary, unary, sync_nullary


async def a_step_is_called_with_its_input() -> None:
    assert_type(await plain("quantum"), int)
    assert_type(await plain.run("quantum", observers=[print], state={"seen": 1}), int)
    assert_type(await without_input(), int)
    assert_type(await without_input.run(), int)
    assert_type(await without_input.run(observers=(), state=None), int)
    assert_type(current_scope().name, str)


async def a_step_is_not_called_otherwise() -> None:
    await plain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await plain("quantum", "mechanics")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain.run()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await plain.run(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await without_input("quantum")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def step_refuses() -> None:
    step(length, timeout="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    step(length, tiemout=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    step("length")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def steps_are_contravariant_in_their_input_and_covariant_in_their_output(
    wide: Step[object, bool], race: Fork[object, bool]
) -> None:
    steps: list[Step[str, int]] = [wide, race]
    call: Callable[[str], Awaitable[float]] = wide
    no_input: Callable[[], Awaitable[float]] = without_input
    del steps, call, no_input


def steps_are_not_what_they_are_not(narrow: Step[str, int]) -> None:
    wide: Step[object, bool] = narrow  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    no_input: Callable[[], Awaitable[int]] = narrow  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del wide, no_input
