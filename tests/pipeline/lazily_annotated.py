"""Ordinary code for Python 3.14, to be compiled by test_annotations_lazy: annotations use names only checkers see.

On an older Python these names would raise NameError here. So the test keeps them as text there, as
``from __future__ import annotations`` would; this file must not have that line.
"""

# ruff: noqa: TC004
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import attrs

if TYPE_CHECKING:
    import decimal as money
    from collections.abc import Awaitable, Callable
    from decimal import Decimal as Orders
    from fractions import Fraction as User


async def fetch_user(user_id: str) -> User:
    return {"id": user_id}


async def total(user: User, tax: int = 1, *, fee: money.Decimal | None = None) -> Orders:
    return tax


def users(ids: list[str], seen: dict[str, User]) -> list[User]:
    return [*ids, *seen]


class Out(TypedDict):
    user: User
    size: int


@dataclass
class OutData:
    user: User
    size: int = 1


@attrs.define
class OutAttrs:
    user: User
    size: int = 1


async def typed(user_id: str) -> Out:
    return {"user": user_id, "size": 1}


async def data(user_id: str) -> OutData:
    return OutData(user_id)


async def attrs_out(user_id: str) -> OutAttrs:
    return OutAttrs(user_id)


class Mode:
    def __init__(self, ledger: User) -> None:
        pass


def wraps(fn: Callable[..., Awaitable[User]]) -> Callable[..., Awaitable[User]]:
    @functools.wraps(fn)
    async def inner(*args: User, **kwargs: User) -> User:
        return await fn(*args, **kwargs)

    return inner


class Callee:
    async def __call__(self, user_id: User) -> User:
        return user_id

    async def method(self, user_id: User) -> User:
        return user_id


def raising(a: functools.Missing, b: int) -> str:
    return str(b)
