"""What `fork` takes and makes. Checked by mypy and pyright, never run.

An error that has to be one carries an ignore of its own for each checker; both report an ignore without an error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, assert_type

import trio

from trio_steps import Fork, Ledger, Mode, Scope, SettleResult, Step, fork, gather, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

T = TypeVar("T")


async def number() -> int:
    return 1


async def text() -> str:
    return ""


async def length(topic: str) -> int:
    return len(topic)


async def encoded(topic: str) -> bytes:
    return topic.encode()


async def size(anything: object) -> float:
    return len(repr(anything))


async def search(kind: str, topic: str) -> int:
    return len(kind + topic)


def sync_length(topic: str) -> int:
    return len(topic)


def sync_encoded(topic: str) -> bytes:
    return topic.encode()


class Resource:
    async def length(self, topic: str) -> int:
        return len(topic)


length_step = step(length)
encoded_step = step(encoded)


def a_fork_takes_the_input_of_its_paths() -> None:
    assert_type(fork("f", mode="race", paths=[length, length]), Fork[str, int])
    assert_type(fork("f", mode="race", paths=[length_step, length_step]), Fork[str, int])
    assert_type(fork("f", mode="race", paths=(length, length_step)), Fork[str, int])
    assert_type(fork("f", mode="race", paths=[Resource().length]), Fork[str, int])
    assert_type(fork("f", mode="race", paths={length}), Fork[str, int])
    assert_type(fork("f", mode="race", paths=[number]), Fork[None, int])
    assert_type(fork("f", mode="race", paths=[step(number)]), Fork[None, int])
    assert_type(fork("f", mode="race", paths=[lambda: number()]), Fork[None, int])


async def optional(topic: str = "quantum") -> int:
    return len(topic)


def paths_may_take_more_than_they_have_to(anything: Step[[object], int], maybe: Step[[str | None], int]) -> None:
    assert_type(fork("f", mode="all", paths=[anything]), Fork[object, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=(anything, length)), Fork[str, tuple[int, int]])
    assert_type(fork("f", mode="all", paths=[maybe, maybe]), Fork[str | None, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=[optional]), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=[optional], merge=sum), Fork[str, int])
    each: Fork[None, tuple[int, ...]] = fork("f", mode="all", paths=[step(partial(length, topic)) for topic in "ab"])
    del each


def a_fork_is_a_path() -> None:
    inner = fork("inner", mode="race", paths=[length])
    assert_type(fork("outer", mode="all", paths=[inner, inner]), Fork[str, tuple[int, ...]])
    assert_type(fork("outer", mode="all", paths=(inner, encoded)), Fork[str, tuple[int, bytes]])
    of_a_fork: Step[[str], int] = step(inner, timeout=2.0)
    del of_a_fork


async def a_fork_is_called_like_a_step() -> None:
    unary = fork("f", mode="all", paths=[length])
    assert_type(await unary("quantum"), tuple[int, ...])
    assert_type(await unary.run("quantum", state={}), tuple[int, ...])
    nullary = fork("f", mode="all", paths=[number])
    assert_type(await nullary(), tuple[int, ...])
    assert_type(await nullary.run(observers=[print]), tuple[int, ...])
    assert_type(await gather(nullary, number), tuple[tuple[int, ...], int])

    await unary()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await unary(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await nullary("quantum")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await gather(unary)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def paths_may_be_partials() -> None:
    """To mypy a partial takes any arguments, and so does a fork of partials."""
    nullary: Fork[None, int] = fork("f", mode="race", paths=[partial(length, topic) for topic in ("a", "b")])
    assert_type(await nullary(), int)
    unary: Fork[str, int] = fork("f", mode="race", paths=[partial(search, "books"), partial(search, "news")])
    assert_type(await unary("quantum"), int)
    both: Fork[str, tuple[int, bytes]] = fork("f", mode="all", paths=(partial(search, "books"), encoded))
    assert_type(await both("quantum"), tuple[int, bytes])


def list_paths(topic: str) -> list[Step[[str], int]]:
    return [length_step]


def list_functions(topic: str) -> Sequence[Callable[[str], Awaitable[int]]]:
    return [length]


def lazy_paths(topic: str) -> Iterator[Step[[str], int]]:
    yield length_step


async def lazy_async_paths(topic: str) -> AsyncIterator[Step[[str], int]]:
    yield length_step


async def list_paths_later(topic: str) -> list[Step[[str], int]]:
    return [length_step]


async def lazy_paths_later(topic: str) -> AsyncIterator[Step[[str], int]]:
    return lazy_async_paths(topic)


def scoped_paths(topic: str, scope: Scope) -> Iterator[Step[[str], int]]:
    yield length_step


async def scoped_async_paths(topic: str, scope: Scope) -> AsyncIterator[Step[[str], int]]:
    yield length_step


def paths_for_none() -> list[Callable[[], Awaitable[int]]]:
    return [number]


def kinds_of_paths(kind: str, topic: str) -> list[Step[[str], int]]:
    return [step(length, id=kind)]


def bound_paths(topic: str) -> Iterator[Callable[[], Awaitable[int]]]:
    yield lambda: length(topic)


def sync_paths(topic: str) -> list[Callable[[str], int]]:
    return [sync_length]


def paths_may_be_a_function_of_the_input() -> None:
    assert_type(fork("f", mode="race", paths=list_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=list_functions), Fork[str, int])
    assert_type(fork("f", mode="race", paths=lazy_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=lazy_async_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=list_paths_later), Fork[str, int])
    assert_type(fork("f", mode="race", paths=lazy_paths_later), Fork[str, int])
    assert_type(fork("f", mode="race", paths=scoped_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=scoped_async_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=paths_for_none), Fork[None, int])
    assert_type(fork("f", mode="race", paths=bound_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=sync_paths), Fork[str, int])
    assert_type(fork("f", mode="race", paths=lambda topic: [length, length]), Fork[str, int])
    assert_type(fork("f", mode="race", paths=lambda topic, scope: [length, length]), Fork[str, int])
    assert_type(fork("f", mode="race", paths=lambda: [number]), Fork[None, int])
    assert_type(fork("f", mode="all", paths=lazy_paths), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="settle", paths=lazy_async_paths), Fork[str, tuple[SettleResult[int], ...]])
    assert_type(fork("f", mode="all", paths=lazy_paths, merge=sum), Fork[str, int])
    bound: Fork[str, int] = fork("f", mode="race", paths=partial(kinds_of_paths, "books"))
    del bound


def paths_may_be_async_iterable() -> None:
    class Forever:
        def __aiter__(self) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
            raise NotImplementedError

    assert_type(fork("f", mode="quorum", need=3, paths=Forever()), Fork[str, tuple[int, ...]])


def a_tuple_of_paths_is_typed_arm_by_arm() -> None:
    a, b = length, encoded
    assert_type(fork("f", mode="all", paths=(a, b)), Fork[str, tuple[int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, b, a)), Fork[str, tuple[int, bytes, int]])
    assert_type(fork("f", mode="all", paths=(a, b, a, b)), Fork[str, tuple[int, bytes, int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, b, a, b, a)), Fork[str, tuple[int, bytes, int, bytes, int]])
    assert_type(fork("f", mode="all", paths=(a, b, a, b, a, b)), Fork[str, tuple[int, bytes, int, bytes, int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, a, a, a, a, a, a)), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=(number, text)), Fork[None, tuple[int, str]])
    assert_type(fork("f", mode="all", paths=(length_step, encoded_step)), Fork[str, tuple[int, bytes]])
    assert_type(fork("f", mode="all", paths=(length, size)), Fork[str, tuple[int, float]])
    assert_type(fork("f", mode="all", paths=(length, number)), Fork[str, tuple[int, int]])


def a_tuple_of_settled_paths_is_typed_arm_by_arm() -> None:
    assert_type(
        fork("f", mode="settle", paths=(length, encoded)), Fork[str, tuple[SettleResult[int], SettleResult[bytes]]]
    )
    assert_type(
        fork("f", mode="settle", paths=(length, encoded, size, length, encoded, size)),
        Fork[
            str,
            tuple[
                SettleResult[int],
                SettleResult[bytes],
                SettleResult[float],
                SettleResult[int],
                SettleResult[bytes],
                SettleResult[float],
            ],
        ],
    )


def a_list_of_paths_is_typed_by_its_element() -> None:
    assert_type(fork("f", mode="all", paths=[length, length]), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="settle", paths=[length, length]), Fork[str, tuple[SettleResult[int], ...]])
    assert_type(fork("f", mode="quorum", need=2, paths=[length, length]), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="quorum", need=1, paths=(length, length)), Fork[str, tuple[int, ...]])
    either: list[Callable[[str], Awaitable[int | bytes]]] = [length, encoded, length_step]
    assert_type(fork("f", mode="all", paths=either), Fork[str, tuple[int | bytes, ...]])


def a_list_of_functions_and_steps() -> None:
    """mypy infers a list of objects: annotate the list, or write a tuple."""
    fork("f", mode="all", paths=[length, length_step])  # type: ignore[call-overload]
    assert_type(fork("f", mode="all", paths=(length, length_step)), Fork[str, tuple[int, int]])


def sync_paths_are_typed_alike() -> None:
    assert_type(fork("f", mode="race", paths=[sync_length]), Fork[str, int])
    assert_type(fork("f", mode="all", paths=[sync_length]), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=(sync_length, sync_encoded)), Fork[str, tuple[int, bytes]])
    assert_type(
        fork("f", mode="settle", paths=(sync_length, sync_encoded)),
        Fork[str, tuple[SettleResult[int], SettleResult[bytes]]],
    )
    assert_type(fork("f", mode="quorum", need=1, paths=[sync_length]), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=[sync_length], merge=joined), Fork[str, str])
    assert_type(fork("f", mode="all", paths=[sync_length], merge=joined_in), Fork[str, str])
    assert_type(fork("f", mode="settle", paths=[sync_length], merge=count), Fork[str, int])
    assert_type(fork("f", mode="all", paths=(step(sync_length), encoded)), Fork[str, tuple[int, bytes]])


def joined(values: list[int]) -> str:
    return repr(values)


def joined_any(values: Sequence[float]) -> str:
    return repr(values)


async def joined_later(values: list[int]) -> str:
    return repr(values)


def joined_in(values: list[int], scope: Scope) -> str:
    return f"{scope.name}: {values}"


async def joined_later_in(values: list[int], scope: Scope) -> str:
    return f"{scope.name}: {values}"


def count(results: list[SettleResult[int]]) -> int:
    return len(results)


async def count_later(results: list[SettleResult[int]]) -> int:
    return len(results)


def merge_makes_the_output() -> None:
    assert_type(fork("f", mode="all", paths=[length], merge=joined), Fork[str, str])
    assert_type(fork("f", mode="all", paths=[length], merge=joined_any), Fork[str, str])
    assert_type(fork("f", mode="all", paths=[length], merge=joined_later), Fork[str, str])
    assert_type(fork("f", mode="all", paths=[length], merge=joined_in), Fork[str, str])
    assert_type(fork("f", mode="all", paths=[length], merge=joined_later_in), Fork[str, str])
    assert_type(fork("f", mode="all", paths=(length, length), merge=joined), Fork[str, str])
    assert_type(fork("f", mode="all", paths=[number], merge=joined), Fork[None, str])
    assert_type(fork("f", mode="quorum", need=2, paths=[length, length], merge=joined_later), Fork[str, str])
    assert_type(fork("f", mode="quorum", need=2, paths=[number, number], merge=joined_later_in), Fork[None, str])
    assert_type(fork("f", mode="all", paths=[number], merge=sum), Fork[None, int])
    assert_type(fork("f", mode="all", paths=[number], merge=lambda values: values[0]), Fork[None, int])
    assert_type(fork("f", mode="settle", paths=[length], merge=count), Fork[str, int])
    assert_type(fork("f", mode="settle", paths=[length], merge=count_later), Fork[str, int])


def merge_may_be_any_function() -> None:
    assert_type(fork("f", mode="all", paths=[length], merge=sum), Fork[str, int])
    assert_type(fork("f", mode="all", paths=[length], merge=max), Fork[str, int])
    assert_type(fork("f", mode="all", paths=[length], merge=set), Fork[str, set[int]])
    assert_type(fork("f", mode="all", paths=[length], merge=sorted), Fork[str, list[int]])
    assert_type(fork("f", mode="settle", paths=[length], merge=len), Fork[str, int])
    assert_type(fork("f", mode="all", paths=[length], merge=lambda values: values[0]), Fork[str, int])
    assert_type(fork("f", mode="all", paths=[length], merge=lambda values: values[0] / 2), Fork[str, float])
    assert_type(fork("f", mode="all", paths=[length], merge=lambda values, scope: scope.id), Fork[str, str])
    assert_type(fork("f", mode="quorum", need=1, paths=[length], merge=lambda values: values[0]), Fork[str, int])
    assert_type(
        fork("f", mode="settle", paths=[length], merge=lambda results: results[0]), Fork[str, SettleResult[int]]
    )


class Largest:
    """Requires no argument; takes and returns ints."""

    def succeeded(self, index: int, value: int, /) -> bool:
        raise NotImplementedError

    def failed(self, index: int, error: Exception, /) -> bool:
        raise NotImplementedError

    def exhausted(self, total: int, /) -> bool:
        raise NotImplementedError

    def result(self) -> int:
        raise NotImplementedError


class Distinct(Generic[T]):
    """Requires the ledger; takes anything and returns a set of it."""

    def __init__(self, ledger: Ledger[T], at_least: int = 1) -> None:
        raise NotImplementedError

    def succeeded(self, index: int, value: T, /) -> bool:
        raise NotImplementedError

    def failed(self, index: int, error: Exception, /) -> bool:
        raise NotImplementedError

    def exhausted(self, total: int, /) -> bool:
        raise NotImplementedError

    def result(self) -> set[T]:
        raise NotImplementedError


def mode_may_be_a_factory() -> None:
    def distinct(ledger: Ledger[int]) -> Distinct[int]:
        return Distinct(ledger, 3)

    mode: Mode[int, int] = Largest()
    assert_type(mode.result(), int)
    assert_type(fork("f", mode=Largest, paths=[length]), Fork[str, int])
    assert_type(fork("f", mode=lambda: Largest(), paths=[length]), Fork[str, int])
    assert_type(fork("f", mode=Distinct, paths=[length]), Fork[str, set[int]])
    assert_type(fork("f", mode=Distinct, paths=[encoded]), Fork[str, set[bytes]])
    assert_type(fork("f", mode=distinct, paths=[length]), Fork[str, set[int]])
    assert_type(fork("f", mode=Distinct, paths=[number]), Fork[None, set[int]])
    assert_type(fork("f", mode=Distinct, paths=[step(number)]), Fork[None, set[int]])
    assert_type(fork("f", mode=Distinct, paths=[length_step]), Fork[str, set[int]])
    assert_type(fork("f", mode=Distinct, paths=[optional]), Fork[str, set[int]])
    assert_type(fork("f", mode=Distinct, paths=lazy_paths), Fork[str, set[int]])
    assert_type(fork("f", mode=Distinct, paths=[sync_length]), Fork[str, set[int]])
    assert_type(fork("f", mode=partial(distinct), paths=[length]), Fork[str, set[int]])


def options_are_the_same_for_every_mode() -> None:
    def discard(value: object) -> None: ...

    async def discard_later(value: int) -> None: ...

    assert_type(
        fork(
            "f",
            mode="race",
            paths=[length],
            concurrency=trio.CapacityLimiter(2),
            stagger=0.25,
            timeout=2,
            dispose=discard,
        ),
        Fork[str, int],
    )
    assert_type(fork("f", mode="all", paths=[length], concurrency=3, dispose=discard_later), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths=[length], merge=sum, dispose=lambda value: discard(value)), Fork[str, int])
    assert_type(fork("f", mode=Largest, paths=[length], concurrency=None, stagger=None, timeout=None), Fork[str, int])


def fork_refuses() -> None:
    def of_texts(values: list[str]) -> str:
        return "".join(values)

    def close_text(value: str) -> None: ...

    # merge is not allowed in a race, and need only in a quorum
    fork("f", mode="race", paths=[length], merge=joined)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="all", paths=[length], need=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="settle", paths=[length], need=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="quorum", paths=[length])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="any", paths=[length])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    # paths
    fork("f", mode="all", paths=length)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="all", paths=[length("quantum")])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="all", paths=["length"])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="all", paths=[search])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="all")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    # what doesn't fit the values
    fork("f", mode="all", paths=[length], merge=of_texts)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="settle", paths=[length], merge=joined)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode=Largest, paths=[encoded])  # type: ignore[misc, arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="race", paths=[length], dispose=close_text)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    # options
    fork("f", mode="race", paths=[length], timeout="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="race", paths=[length], observers=[print])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def a_fork_of_paths_that_take_different_inputs_is_of_no_use() -> None:
    """pyright rejects it. To mypy it takes a value that is both a str and an int, so nothing."""

    async def double(value: int) -> int:
        return 2 * value

    unusable = fork("f", mode="all", paths=(length, double))  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
    await unusable("quantum")  # type: ignore[arg-type]
