"""Steps with and without types, and pipelines of them, one line each."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

import attrs

from trio_steps import CircuitBreaker, Pipeline
from trio_steps._core.function import FunctionStep
from trio_steps._core.policy.policies import Policies
from trio_steps._pipeline.contract.shape import Key, Source


class In(TypedDict):
    user_id: str
    limit: int
    trial: NotRequired[bool]


class UserOut(TypedDict):
    user: User


class OrdersOut(TypedDict):
    orders: list[Order]
    alerts: NotRequired[list[str]]


class UserText(TypedDict):
    user: str


class User:
    pass


class Premium(User):
    pass


class Order:
    pass


@attrs.frozen
class Totals:
    total: int
    currency: str = "EUR"


@dataclasses.dataclass
class Stats:
    count: float


@attrs.frozen
class Row(Mapping):
    """A mapping, and nothing else, although it is an attrs class too."""

    value: dict

    def __getitem__(self, key): ...

    def __iter__(self): ...

    def __len__(self): ...


# Steps: their parameters say what they need, their return annotations what they provide.


def fetch_user(user_id: str) -> UserOut: ...


class PremiumOut(TypedDict):
    user: Premium


async def fetch_orders(user: User) -> OrdersOut: ...


def count(orders: list[Order]) -> Totals: ...


def stats(orders: Sequence[Order], alerts: list[str] = ()) -> Stats: ...


def no_output(user: User) -> None: ...


def user_as_text(user_id: str) -> UserText: ...


def anything(user_id: str): ...


def any_mapping(user_id: str) -> Mapping[str, int]: ...


def maybe_user(user_id: str) -> UserOut | None: ...


def either_user(user_id: str) -> UserOut | PremiumOut: ...


def one_user(user_id: str) -> User: ...


def one_text(user_id: str) -> str: ...


def row(user_id: str) -> Row: ...


def later(user_id: str) -> Awaitable[UserOut]: ...


def done(total: int) -> Literal["done"]: ...


# A pipeline is built by a chain of these, each of which makes one call of the builder.


def run(
    name,
    fn,
    *,
    provides=None,
    policy="override",
    condition=None,
    on_error="raise",
    breaker=False,
    transform=False,
):
    """Return a function that adds a step of one function."""
    options = {
        "condition": condition,
        "on_error": on_error,
        "circuit_breaker": CircuitBreaker(failure_threshold=1, cooldown=1, on_open="skip") if breaker else None,
    }
    if transform:
        return lambda p: p.transform(name, fn, **options)
    return lambda p: p.step(name, fn, provides=provides, merge_policy=policy, **options)


def nest(name, inner, *, policy="override", condition=None):
    """Return a function that adds a pipeline that was built separately."""
    return lambda p: p.step(name, inner, merge_policy=policy, condition=condition)


def adding(p, steps):
    for add in steps:
        p = add(p)
    return p


def each(name, fn, *, over, each, into="results", settle=False):
    mode = "settle" if settle else "all"
    return lambda p: p.for_each(name, fn, over=over, each=each, into=into, mode=mode)


def make(*steps, inputs=In):
    return adding(Pipeline(inputs=inputs), steps)


class Inner(TypedDict):
    user: User


def provider(fn, provides):
    return FunctionStep(fn, None, Policies(), provides)


USER = run("user", fetch_user)
ORDERS = run("orders", fetch_orders)
MAYBE_USER = run("user", fetch_user, condition=lambda: True)


def key(type, *sources, definite=True):
    return Key(type, tuple(Source(*source) for source in sources), definite)
