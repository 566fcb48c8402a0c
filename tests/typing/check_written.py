"""What people write, and its types: the same to mypy and to pyright. Checked by both, never run.

Nothing here may be Any or object. Where mypy reports that it can't infer a type, there is an ignore.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_type

from trio_steps import Fork, SettleResult, Stream, fork, gather, race, settle, step, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class Page: ...


class User: ...


async def num() -> int:
    return 1


async def txt() -> str:
    return ""


async def dat() -> bytes:
    return b""


async def flt() -> float:
    return 1.0


async def load_user(uid: int) -> User:
    return User()


async def load_orders(uid: int) -> list[int]:
    return [1]


async def opt(uid: int = 3) -> User:
    return User()


def snum() -> int:
    return 1


def stxt() -> str:
    return ""


class Api:
    async def get(self, key: str) -> bytes:
        return b""

    async def ping(self) -> int:
        return 1

    @step(timeout=1)
    async def fetch(self, key: str) -> Page:
        return Page()

    @step
    async def health(self) -> bool:
        return True


class Call:
    async def __call__(self) -> complex:
        return 1j


api = Api()
p_user = partial(load_user, 3)
s = step(partial(load_orders, 3), timeout=2)
sn = step(num)
st = step(timeout=1)(txt)


async def agen() -> AsyncIterator[Callable[[], Awaitable[int]]]:
    yield num


async def gather_is_typed_arm_by_arm_and_beyond_eight_by_a_union() -> None:
    assert_type(await gather(s, num), tuple[list[int], int])
    assert_type(await gather(num, s), tuple[int, list[int]])
    assert_type(await gather(p_user, s), tuple[User, list[int]])
    assert_type(await gather(s, p_user), tuple[list[int], User])
    assert_type(await gather(partial(load_user, 3), num), tuple[User, int])
    assert_type(await gather(num, partial(load_user, 3)), tuple[int, User])
    assert_type(await gather(partial(load_user, 3), partial(load_orders, 3)), tuple[User, list[int]])
    assert_type(await gather(partial(load_user, 3), s, num, sn, st), tuple[User, list[int], int, int, str])
    assert_type(await gather(partial(api.fetch, "k"), api.health), tuple[Page, bool])
    assert_type(await gather(api.health, api.ping, partial(api.get, "k")), tuple[bool, int, bytes])
    assert_type(await gather(Call(), num, step(Call())), tuple[complex, int, complex])
    assert_type(await gather(lambda: num(), lambda: load_user(3)), tuple[int, User])
    assert_type(await gather(lambda: "", lambda: 1), tuple[str, int])
    assert_type(await gather(snum, stxt, lambda: ""), tuple[int, str, str])
    assert_type(await gather(num, txt, dat, flt, num, txt, dat, flt, num), tuple[int | str | bytes | float, ...])
    assert_type(await gather(num, txt, dat, flt, num, txt, dat, flt, num, txt), tuple[int | str | bytes | float, ...])
    assert_type(
        await gather(num, txt, dat, flt, num, txt, dat, flt, num, txt, dat, flt), tuple[int | str | bytes | float, ...]
    )
    assert_type(
        await gather(num, txt, dat, flt, s, p_user, sn, st, api.health, opt),
        tuple[int | str | bytes | float | list[int] | User | bool, ...],
    )
    assert_type(await gather(num, num, num, num, num, num, num, num, num, num), tuple[int, ...])
    assert_type(await gather(partial(load_user, n) for n in range(3)), tuple[User, ...])
    assert_type(await gather([step(partial(load_user, n), id=f"u{n}") for n in range(3)]), tuple[User, ...])
    assert_type(await gather({f"u{n}": partial(load_user, n) for n in range(3)}), dict[str, User])
    assert_type(await gather({"a": snum, "b": snum}), dict[str, int])
    assert_type(await gather(agen()), tuple[int, ...])
    assert_type(await gather(snum, stxt, snum, stxt, snum, stxt, snum, stxt, snum, stxt), tuple[int | str, ...])
    assert_type(await gather(lambda: "", snum), tuple[str, int])
    assert_type(await gather(snum, lambda: ""), tuple[int, str])
    assert_type(await gather(snum, lambda: "", snum), tuple[int, str, int])
    assert_type(await gather(num, num, num, num, num, num, num, num, num, num, num, num, num, num), tuple[int, ...])


async def race_is_typed_by_a_union() -> None:
    assert_type(await race(num, txt), int | str)
    assert_type(await race(partial(load_user, 3), s), User | list[int])
    assert_type(await race(s, partial(load_user, 3)), list[int] | User)
    assert_type(await race(num, s), int | list[int])
    assert_type(await race(num, txt, dat, flt, num, txt, dat), int | str | bytes | float)
    assert_type(await race(num, txt, dat, flt, opt, s, st, sn), int | str | bytes | float | User | list[int])
    assert_type(await race(sn, st), int | str)
    assert_type(await race(snum, stxt), int | str)
    assert_type(await race(partial(api.get, "a"), partial(api.get, "b"), stagger=0.25), bytes)
    assert_type(await race(num, lambda: load_user(3)), int | User)
    assert_type(await race(lambda: "", lambda: 1), str | int)
    assert_type(await race(lambda: "", snum), str | int)
    assert_type(await race(num, num, num, num, num, num, num, num, num, num, num, num, num, num), int)


async def settle_is_typed_like_gather() -> None:
    assert_type(await settle(s, num), tuple[SettleResult[list[int]], SettleResult[int]])
    assert_type(await settle(partial(load_user, 3), s), tuple[SettleResult[User], SettleResult[list[int]]])
    assert_type(
        await settle(num, txt, dat, flt, num, txt, dat, flt, num), tuple[SettleResult[int | str | bytes | float], ...]
    )
    assert_type(await settle([partial(load_user, n) for n in range(3)], concurrency=2), tuple[SettleResult[User], ...])
    assert_type(await settle(api.health, api.ping, timeout=1), tuple[SettleResult[bool], SettleResult[int]])
    assert_type(
        await settle(snum, stxt, snum, stxt, snum, stxt, snum, stxt, snum, stxt), tuple[SettleResult[int | str], ...]
    )
    assert_type(await settle(*(partial(load_user, n) for n in range(3))), tuple[SettleResult[User], ...])


async def a_stream_is_typed_like_a_race() -> None:
    assert_type(stream(num, txt), Stream[SettleResult[int | str]])
    assert_type(stream(s, p_user), Stream[SettleResult[list[int] | User]])
    assert_type(stream(num, txt, dat, flt, num, txt, dat, mode="all"), Stream[int | str | bytes | float])
    assert_type(
        stream((partial(load_user, n) for n in range(3)), concurrency=2, ordered=True), Stream[SettleResult[User]]
    )
    assert_type(stream(agen(), mode="all"), Stream[int])
    assert_type(stream(snum, stxt, mode="all"), Stream[int | str])
    assert_type(stream(*(partial(load_user, n) for n in range(3))), Stream[SettleResult[User]])


async def options_of_the_values_change_nothing() -> None:
    assert_type(await race(num, num, accept=lambda n: n > 3), int)
    assert_type(await race(num, txt, accept=lambda n: n != 3), int | str)
    assert_type(await race(num, num, accept=lambda n: n > 3, dispose=lambda n: n.bit_count()), int)
    assert_type(await race(p_user, s, accept=bool, dispose=print), User | list[int])
    assert_type(await race([num, num], accept=lambda n: n > 3, dispose=print), int)
    assert_type(await settle(num, txt, accept=lambda v: bool(v)), tuple[SettleResult[int], SettleResult[str]])
    assert_type(await race(snum, stxt, accept=lambda n: n != 3), int | str)
    assert_type(await race(snum, snum, accept=lambda n: n > 3, dispose=lambda n: n.bit_count()), int)
    assert_type(
        await race(
            num, num, num, num, num, num, num, num, num, accept=lambda n: n > 3, dispose=lambda n: n.bit_count()
        ),
        int,
    )
    assert_type(
        await gather(
            num, num, num, num, num, num, num, num, num, accept=lambda n: n > 3, dispose=lambda n: n.bit_count()
        ),
        tuple[int, ...],
    )
    assert_type(await race(num, txt, accept=lambda n: n != 3, dispose=lambda n: repr(n)), int | str)
    assert_type(await gather(num, txt, accept=lambda n: n != 3, dispose=lambda n: repr(n)), tuple[int, str])
    assert_type(await gather(snum, stxt, accept=lambda n: n != 3, dispose=lambda n: repr(n)), tuple[int, str])
    assert_type(await race(num, txt, dispose=print), int | str)
    assert_type(await race(num, txt, dat, flt, num, txt, dat, dispose=print, accept=bool), int | str | bytes | float)
    assert_type(
        await race(num, txt, dat, flt, num, txt, dat, dispose=print, accept=lambda v: v != 3), int | str | bytes | float
    )
    assert_type(
        await gather(num, txt, dat, flt, num, txt, dat, flt, num, txt, dat, dispose=print, accept=bool),
        tuple[int | str | bytes | float, ...],
    )
    assert_type(
        await gather(snum, stxt, snum, snum, snum, snum, snum, snum, snum, snum, accept=lambda n: n != 3),
        tuple[int | str, ...],
    )
    assert_type(
        await race(snum, stxt, snum, snum, snum, snum, snum, snum, snum, snum, accept=lambda n: n != 3), int | str
    )
    assert_type(await settle(num, dispose=print, accept=bool), tuple[SettleResult[int]])
    assert_type(await settle(num, txt, dispose=print, accept=bool), tuple[SettleResult[int], SettleResult[str]])
    assert_type(
        stream(num, txt, dat, flt, num, txt, dat, dispose=print, accept=bool),
        Stream[SettleResult[int | str | bytes | float]],
    )


async def unpacked(many: list[Callable[[], Awaitable[int]]], syncs: list[Callable[[], int]]) -> None:
    assert_type(await race(*many), int)
    assert_type(await race(*many, accept=lambda n: n > 2), int)
    assert_type(await race(num, *many), int)
    assert_type(await race(txt, *many), str | int)
    assert_type(await race(*syncs), int)
    assert_type(await gather(*many), tuple[int, ...])
    assert_type(await gather(num, *many), tuple[int, ...])
    assert_type(await gather(*many, accept=lambda n: n > 2), tuple[int, ...])
    assert_type(await gather(*syncs), tuple[int, ...])
    assert_type(await settle(*syncs), tuple[SettleResult[int], ...])
    assert_type(await settle(*many), tuple[SettleResult[int], ...])
    assert_type(stream(*many, mode="all"), Stream[int])


async def results_narrow() -> None:
    user, orders, page = await settle(p_user, s, partial(api.fetch, "owls"))
    if user.status == "fulfilled" and orders.status == "fulfilled":
        assert_type(user.value, User)
        assert_type(orders.value, list[int])
    assert_type(page.unwrap(), Page)
    many = await settle(num, txt, dat, num, txt, dat, num, txt, dat, s)
    assert_type([result.value for result in many if result.status == "fulfilled"], list[int | str | bytes | list[int]])


async def what_is_wrong_is_refused() -> None:
    user, orders = await gather(p_user, s)
    user.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    _ = orders + 5  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    fastest = await race(num, txt, dat, num, txt, dat, s)
    fastest.upper()  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    tenth = await gather(num, txt, dat, num, txt, dat, num, txt, dat, s)
    tenth[9].append(1)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await gather(num, txt, dat, num, txt, dat, num, txt, dat, api.get)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def more_than_twelve_arms() -> None:
    assert_type(
        await gather(num, txt, dat, num, txt, dat, num, txt, dat, num, txt, dat, flt),
        tuple[int | str | bytes | float, ...],
    )
    assert_type(
        await race(num, num, num, num, num, num, num, num, num, num, num, num, num, num, txt, dat), int | str | bytes
    )
    assert_type(
        await settle(num, txt, dat, num, txt, dat, num, txt, dat, num, txt, dat, s),
        tuple[SettleResult[int | str | bytes | list[int]], ...],
    )
    assert_type(
        stream(snum, stxt, snum, snum, snum, snum, snum, snum, snum, snum, snum, snum, snum, stxt, mode="all"),
        Stream[int | str],
    )


async def one_tuple_of_paths() -> None:
    two = (num, txt)
    assert_type(await gather(two), tuple[int | str, ...])
    assert_type(await gather((snum, stxt)), tuple[int | str, ...])
    assert_type(await race(two, accept=lambda v: v != 3), int | str)
    assert_type(await race(two, accept=bool, dispose=print), int | str)
    assert_type(await settle((num, num), accept=lambda n: n > 3), tuple[SettleResult[int], ...])
    assert_type(stream(two, mode="all", dispose=lambda v: repr(v)), Stream[int | str])
    assert_type(stream((num, num), dispose=lambda n: n.bit_count()), Stream[SettleResult[int]])


async def mypy_knows_only_what_the_items_of_a_list_or_mapping_have_in_common() -> None:
    """It makes one type of different functions before it looks at what they are given to, and says nothing."""
    both = [num, txt]
    assert_type(await both[0](), object)  # pyright: ignore[reportAssertTypeFailure]
    named = {"number": num, "text": txt}
    assert_type(await named["number"](), object)  # pyright: ignore[reportAssertTypeFailure]
    assert_type(await gather([num, txt]), tuple[int | str, ...])  # type: ignore[assert-type]
    assert_type(await race([num, txt]), int | str)  # type: ignore[assert-type]
    assert_type(await gather({"number": num, "text": txt}), dict[str, int | str])  # type: ignore[assert-type]
    assert_type(await gather(path for path in (num, txt)), tuple[int | str, ...])  # type: ignore[assert-type]
    assert_type(fork("f", mode="all", paths=[a, b]), Fork[str, tuple[int | bytes, ...]])  # type: ignore[assert-type]
    assert_type(fork("f", mode="race", paths={"a": a, "b": b}), Fork[str, int | bytes])  # type: ignore[assert-type]
    # What it needs is the type, or a tuple, or the paths one by one.
    paths: list[Callable[[], Awaitable[int | str]]] = [num, txt]
    assert_type(await gather(paths), tuple[int | str, ...])
    assert_type(await race(paths), int | str)
    assert_type(await gather(*both), tuple[int | str, ...])  # type: ignore[assert-type]


def mypy_knows_nothing_of_a_lambda_that_merges_different_values() -> None:
    """A lambda fits the overload for any source as well, and mypy says Any if two of them return different things."""
    two = (a, b)
    assert_type(fork("f", mode="all", paths=two, merge=lambda values: values[0]), Fork[str, int | bytes])  # type: ignore[assert-type]
    assert_type(fork("f", mode="all", paths=two, merge=lambda values: len(values)), Fork[str, int])
    assert_type(fork("f", mode="all", paths=(a, a), merge=lambda values: summed(values)), Fork[str, int])  # type: ignore[assert-type]
    # What it needs is a function that says what it takes. An async function is given itself.
    assert_type(fork("f", mode="all", paths=two, merge=first), Fork[str, int | bytes])
    assert_type(fork("f", mode="all", paths=two, merge=first_soon), Fork[str, int | bytes])
    assert_type(fork("f", mode="settle", paths=two, merge=ended), Fork[str, int])
    assert_type(fork("f", mode="quorum", need=1, paths=two, merge=first_soon), Fork[str, int | bytes])
    assert_type(fork("f", mode="all", paths=(sync_a, b), merge=first_soon), Fork[str, int | bytes])
    assert_type(fork("f", mode="all", paths=(a, a), merge=summed), Fork[str, int])
    assert_type(fork("f", mode="all", paths=[sync_a, sync_a], merge=summed), Fork[str, int])


def first(values: list[int | bytes]) -> int | bytes:
    return values[0]


async def first_soon(values: list[int | bytes]) -> int | bytes:
    return values[0]


def ended(results: list[SettleResult[int | bytes]]) -> int:
    return len(results)


async def summed(values: list[int]) -> int:
    return sum(values)


def sync_a(topic: str) -> int:
    return 1


async def mypy_wants_the_type_of_a_list_of_functions_and_steps() -> None:
    """It joins the types of the items before it looks at the parameter, and reports that."""
    await gather([num, sn])  # type: ignore[list-item]
    await gather({"number": num, "orders": s})  # type: ignore[dict-item]
    paths: dict[str, Callable[[], Awaitable[int | list[int]]]] = {"number": num, "orders": s}
    assert_type(await gather(paths), dict[str, int | list[int]])


async def a(topic: str) -> int:
    return 1


async def b(topic: str) -> bytes:
    return b""


async def c(topic: str) -> list[str]:
    return []


async def two(kind: str, topic: str) -> float:
    return 1.0


class Service:
    async def get(self, topic: str) -> bytes:
        return b""

    @step(timeout=1)
    async def fetch(self, topic: str) -> bool:
        return True


class CallOne:
    async def __call__(self, topic: str) -> complex:
        return 1j


sa = step(a, timeout=1)
sb = step(timeout=2)(b)
sp = step(partial(two, "x"), timeout=1)
service = Service()


def a_fork_of_a_tuple_is_typed_by_its_arms_or_by_a_union() -> None:
    assert_type(fork("f", mode="race", paths=(a, b)), Fork[str, int | bytes])
    assert_type(fork("f", mode="race", paths=(sa, sb)), Fork[str, int | bytes])
    assert_type(fork("f", mode="race", paths=(a, sb)), Fork[str, int | bytes])
    assert_type(fork("f", mode="race", paths=(a, b, c, a, b, c, a, b, c)), Fork[str, int | bytes | list[str]])
    assert_type(fork("f", mode="quorum", need=2, paths=(a, b, c)), Fork[str, tuple[int | bytes | list[str], ...]])
    assert_type(fork("f", mode="all", paths=(a, b)), Fork[str, tuple[int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, sp)), Fork[str, tuple[int, float]])
    assert_type(fork("f", mode="all", paths=(sp, a)), Fork[str, tuple[float, int]])
    assert_type(fork("f", mode="all", paths=(service.get, service.fetch)), Fork[str, tuple[bytes, bool]])
    assert_type(
        fork("f", mode="all", paths=(a, b, c, a, b, c, a, b, c)), Fork[str, tuple[int | bytes | list[str], ...]]
    )
    assert_type(
        fork("f", mode="settle", paths=(a, b, c, a, b, c, a)),
        Fork[str, tuple[SettleResult[int | bytes | list[str]], ...]],
    )
    assert_type(fork("f", mode="all", paths=(num, txt)), Fork[None, tuple[int, str]])
    assert_type(fork("f", mode="race", paths=(num, txt, dat), concurrency=2), Fork[None, int | str | bytes])


def fits(value: int | bytes) -> bool:
    return bool(value)


def is_small(value: int) -> bool:
    return value < 3


def what_is_accepted_or_disposed_of_does_not_change_what_a_tuple_gives() -> None:
    assert_type(fork("f", mode="all", paths=(a, b), accept=lambda v: v != 3), Fork[str, tuple[int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, b), accept=fits, dispose=print), Fork[str, tuple[int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, b), accept=bool), Fork[str, tuple[int, bytes]])
    assert_type(fork("f", mode="all", paths=(a, a), accept=lambda n: n > 3), Fork[str, tuple[int, int]])
    assert_type(fork("f", mode="all", paths=(a, a), accept=lambda n: n != 3), Fork[str, tuple[int, int]])
    assert_type(
        fork("f", mode="settle", paths=(a, sb), dispose=lambda v: repr(v)),
        Fork[str, tuple[SettleResult[int], SettleResult[bytes]]],
    )
    assert_type(fork("f", mode="race", paths=(a, b), accept=lambda v: v != 3), Fork[str, int | bytes])
    assert_type(fork("f", mode="race", paths=(a, b), accept=fits), Fork[str, int | bytes])
    assert_type(fork("f", mode="race", paths=(a, b), accept=bool, dispose=print), Fork[str, int | bytes])
    assert_type(fork("f", mode="race", paths=(a, a), accept=lambda n: n > 3), Fork[str, int])
    assert_type(fork("f", mode="race", paths=(sp, b), accept=lambda v: v != 3), Fork[str, float | bytes])
    assert_type(
        fork("f", mode="quorum", need=2, paths=(a, b, c), accept=lambda v: v != 3),
        Fork[str, tuple[int | bytes | list[str], ...]],
    )
    assert_type(
        fork("f", mode="all", paths=(a, b, c, a, b, c, a, b), accept=bool, dispose=lambda v: repr(v)),
        Fork[str, tuple[int | bytes | list[str], ...]],
    )
    assert_type(fork("f", mode="race", paths=(num, txt), accept=lambda v: v != 3), Fork[None, int | str])
    fork("f", mode="all", paths=(a, b), accept=is_small)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fork("f", mode="race", paths=(a, b), dispose=is_small)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def a_fork_of_more_than_twelve() -> None:
    assert_type(
        fork("f", mode="all", paths=(a, b, c, a, b, c, a, b, c, a, b, c, a, b)),
        Fork[str, tuple[int | bytes | list[str], ...]],
    )
    assert_type(
        fork("f", mode="race", paths=(a, a, a, a, a, a, a, a, a, a, a, a, a, a, b, c)),
        Fork[str, int | bytes | list[str]],
    )


def a_fork_of_a_list_is_typed_by_its_element() -> None:
    assert_type(fork("f", mode="all", paths=[CallOne()]), Fork[str, tuple[complex, ...]])
    assert_type(fork("f", mode="race", paths=[service.fetch]), Fork[str, bool])
    assert_type(fork("f", mode="all", paths=[a, a], accept=lambda n: n > 1, dispose=print), Fork[str, tuple[int, ...]])
    assert_type(fork("f", mode="all", paths={"a": a, "b": a}), Fork[str, dict[str, int]])
    assert_type(fork("f", mode="settle", paths={"a": sa, "b": sa}), Fork[str, dict[str, SettleResult[int]]])
    assert_type(fork("f", mode="all", paths=[a]).stream("owls"), Stream[int])


async def forks_of_partials_are_called_with_nothing_too() -> None:
    """To mypy they take anything, to pyright what the partials take."""
    both = fork("f", mode="all", paths=(p_user, s))
    assert_type(await both(), tuple[User, list[int]])
    either = fork("f", mode="race", paths=(p_user, s))
    assert_type(await either(), User | list[int])
