"""What `race`, `gather` and `settle` take and return. Checked by mypy and pyright, never run.

An error that has to be one carries an ignore of its own for each checker; both report an ignore without an error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_type

import trio

from trio_steps import Fork, SettleResult, Step, fork, gather, race, settle, step, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from trio_steps import Event


async def number() -> int:
    return 1


async def text() -> str:
    return ""


async def data() -> bytes:
    return b""


async def search(topic: str) -> bytes:
    return topic.encode()


def sync_number() -> int:
    return 1


def sync_text() -> str:
    return ""


class Resource:
    async def load(self) -> int:
        return 1

    def close(self) -> None: ...


async def connect() -> Resource:
    return Resource()


def lazily() -> Iterator[Callable[[], Awaitable[int]]]:
    yield number


async def lazily_async() -> AsyncIterator[Callable[[], Awaitable[int]]]:
    yield number


async def gather_is_typed_arm_by_arm() -> None:
    assert_type(await gather(), tuple[()])
    assert_type(await gather(number), tuple[int])
    assert_type(await gather(number, text), tuple[int, str])
    assert_type(await gather(number, text, data), tuple[int, str, bytes])
    assert_type(await gather(number, text, data, number), tuple[int, str, bytes, int])
    assert_type(await gather(number, text, data, number, text), tuple[int, str, bytes, int, str])
    assert_type(await gather(number, text, data, number, text, data), tuple[int, str, bytes, int, str, bytes])
    assert_type(
        await gather(number, text, data, number, text, data, number), tuple[int, str, bytes, int, str, bytes, int]
    )
    assert_type(
        await gather(number, text, data, number, text, data, number, text),
        tuple[int, str, bytes, int, str, bytes, int, str],
    )
    user, papers = await gather(number, partial(search, "quantum"))
    assert_type(user, int)
    assert_type(papers, bytes)


async def gather_of_more_is_typed_by_what_they_share() -> None:
    assert_type(await gather(number, number, number, number, number, number, number, number, number), tuple[int, ...])
    many = [number, number]
    assert_type(await gather(*many), tuple[int, ...])
    assert_type(await gather(*(partial(search, topic) for topic in ("a", "b"))), tuple[bytes, ...])


async def gather_takes_everything_that_can_be_called_with_no_input(
    plain: Step[[], int], wide: Fork[object, str], fork: Fork[None, bytes], loose: Callable[[], Awaitable[float]]
) -> None:
    assert_type(await gather(plain, wide, fork, loose), tuple[int, str, bytes, float])
    assert_type(await gather(Resource().load, lambda: search("quantum")), tuple[int, bytes])
    assert_type(await gather(partial(search, "quantum"), plain), tuple[bytes, int])


async def gather_takes_sync_functions() -> None:
    assert_type(await gather(sync_number, sync_text), tuple[int, str])
    assert_type(await gather(sync_number, partial(int, "1"), lambda: str(1)), tuple[int, int, str])
    assert_type(await gather([sync_number, sync_number]), tuple[int, ...])


async def gather_of_sync_and_async_functions() -> None:
    """mypy can't mix async and sync functions in one call, and says so. Wrapping the sync ones helps."""
    await gather(number, sync_text)  # type: ignore[arg-type]
    assert_type(await gather(number, step(sync_text)), tuple[int, str])


async def gather_takes_one_iterable() -> None:
    assert_type(await gather([number, number]), tuple[int, ...])
    assert_type(await gather({number}), tuple[int, ...])
    assert_type(await gather(lazily()), tuple[int, ...])
    assert_type(await gather(lazily_async()), tuple[int, ...])
    assert_type(await gather(partial(search, topic) for topic in ("a", "b")), tuple[bytes, ...])


async def gather_takes_options() -> None:
    def observe(event: Event) -> None: ...

    def discard(value: object) -> None: ...

    async def discard_later(value: object) -> None: ...

    limiter = trio.CapacityLimiter(2)
    options = await gather(
        number, text, concurrency=limiter, stagger=0, timeout=2.5, dispose=discard, observers=[observe]
    )
    assert_type(options, tuple[int, str])
    assert_type(await gather(number, text, concurrency=2, dispose=discard_later), tuple[int, str])
    assert_type(await gather(number, text, concurrency=None, stagger=None, timeout=None), tuple[int, str])


async def gather_refuses(unary: Step[[str], int]) -> None:
    def close_number(value: int) -> None: ...

    await gather(number, search)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await gather(number, unary)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await gather(number())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await gather([search])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await gather(number, timeout="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await gather(number, need=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    # a str may also be a value to give away
    await gather(number, text, dispose=close_number)  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def race_returns_the_value_of_any_path() -> None:
    assert_type(await race(number), int)
    assert_type(await race(number, number), int)
    assert_type(await race(number, text), int | str)
    assert_type(await race(number, text, data), int | str | bytes)
    assert_type(await race(number, text, data, number), int | str | bytes)
    assert_type(await race(number, text, data, number, text), int | str | bytes)
    assert_type(await race(number, text, data, number, text, data), int | str | bytes)
    assert_type(await race(number, number, number, number, number, number, number), int)
    assert_type(await race(*[number, number]), int)
    assert_type(await race([number, number], stagger=0.25), int)
    assert_type(await race(lazily(), concurrency=3), int)
    assert_type(await race(lazily_async()), int)
    assert_type(await race(sync_number, sync_text), int | str)
    assert_type(await race(partial(search, "a"), partial(search, "b"), stagger=0.25), bytes)


async def race_gives_away_what_it_has_no_use_for() -> None:
    assert_type(await race(connect, connect, dispose=Resource.close), Resource)
    assert_type(await race(connect, connect, dispose=lambda resource: resource.close()), Resource)
    assert_type(await race([connect, connect], dispose=lambda resource: resource.close()), Resource)


async def race_refuses() -> None:
    await race()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await race(number, search)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await race(number, merge=sum)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def settle_is_typed_arm_by_arm() -> None:
    assert_type(await settle(), tuple[()])
    assert_type(await settle(number), tuple[SettleResult[int]])
    assert_type(await settle(number, text), tuple[SettleResult[int], SettleResult[str]])
    assert_type(await settle(number, text, data), tuple[SettleResult[int], SettleResult[str], SettleResult[bytes]])
    assert_type(
        await settle(number, text, data, number, text, data, number, text, timeout=1.0),
        tuple[
            SettleResult[int],
            SettleResult[str],
            SettleResult[bytes],
            SettleResult[int],
            SettleResult[str],
            SettleResult[bytes],
            SettleResult[int],
            SettleResult[str],
        ],
    )
    assert_type(await settle(sync_number, sync_text), tuple[SettleResult[int], SettleResult[str]])


async def settle_of_more_is_typed_by_what_they_share() -> None:
    probes = [partial(search, topic) for topic in ("a", "b")]
    assert_type(await settle(*probes, concurrency=20), tuple[SettleResult[bytes], ...])
    assert_type(await settle(probes), tuple[SettleResult[bytes], ...])
    assert_type(await settle(lazily()), tuple[SettleResult[int], ...])
    assert_type(await settle(lazily_async()), tuple[SettleResult[int], ...])


async def check_streams() -> None:
    async with stream(number, text) as results:
        async for result in results:
            assert_type(result, SettleResult[int | str])
    async with stream([number], mode="all", ordered=True, buffer=2) as numbers:
        assert_type(await anext(numbers), int)
    async with fork("f", mode="all", paths=[search]).stream("owls") as found:
        assert_type([value async for value in found], list[bytes])
