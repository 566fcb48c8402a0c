"""Pipelines that fit together, and pipelines that do not: each of those is refused with a message that helps."""

from __future__ import annotations

import functools
from typing import NewType, NotRequired, Protocol, TypedDict, TypeVar

import pytest
from flows import (
    MAYBE_USER,
    ORDERS,
    USER,
    Inner,
    Order,
    OrdersOut,
    PremiumOut,
    User,
    UserOut,
    adding,
    any_mapping,
    anything,
    count,
    done,
    each,
    either_user,
    fetch_orders,
    fetch_user,
    later,
    make,
    maybe_user,
    nest,
    no_output,
    one_text,
    one_user,
    provider,
    row,
    run,
    stats,
    user_as_text,
)

from trio_steps import ConfigError, fork, otherwise, step, when

T = TypeVar("T")
UserId = NewType("UserId", str)


class Unresolved(TypedDict):
    user: NoSuchType  # noqa: F821 - that is what is tested


class Sized(Protocol):
    size: int


def fetch_premium(user_id: str) -> PremiumOut: ...


def unresolved(user_id: str) -> Unresolved: ...


def either_record(user_id: str) -> UserOut | OrdersOut: ...


def parallel(name, *fns, mode="all", policy="override"):
    return lambda p: p.step(name, *fns, mode=mode, merge_policy=policy)


def branch(name, otherwise_too=True, **cases):
    """Return a function that adds a branch whose cases are built in place; the last is ``otherwise``."""

    def add(p):
        made = [when(lambda: True, functools.partial(adding, steps=steps), name=case) for case, steps in cases.items()]
        if otherwise_too:
            *_, (case, steps) = cases.items()
            made[-1] = otherwise(functools.partial(adding, steps=steps), name=case)
        return p.branch_on(name, *made)

    return add


def outputs(record):
    return lambda p: p.outputs(record)


class Done(TypedDict):
    user: User
    total: NotRequired[int]


def ship(order: Order, user_id: str) -> bool: ...


def ship_text(order: str) -> bool: ...


def by_name(**rest): ...


def giving_session(fn):
    @functools.wraps(fn)
    def wrapper(user_id):
        return fn(user_id, session=1)

    return wrapper


def passing_session(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, session=1, **kwargs)

    return wrapper


def with_session(user_id: str, session: object) -> UserOut: ...


def converting(fn):
    @functools.wraps(fn)
    def wrapper(user_id):
        return fn(int(user_id))

    return wrapper


def asking_for_number(fn):
    @functools.wraps(fn, assigned=("__name__",))  # so it keeps its own annotations
    def wrapper(user_id: int):
        return fn(str(user_id))

    return wrapper


def takes_number(user_id: int): ...


def texts(orders: list[str]): ...


def text_or_bytes(user_id: str) -> str | bytes: ...


def takes_float(limit: float): ...


ACCEPTED = {
    "every key is there": [USER, ORDERS, run("count", count)],
    "a decorator that passes what it does not name": [run("user", passing_session(with_session))],
    "a decorator that converts what it passes": [run("number", converting(takes_number))],
    "a default may be missing": [USER, run("stats", lambda nowhere=1: None)],
    "a maybe key with a default": [USER, ORDERS, run("stats", stats)],
    "**rest needs nothing": [run("rest", lambda **rest: None)],
    "the whole context needs nothing": [run("whole", lambda ctx, /: None)],
    "an unannotated function": [USER, run("bare", lambda user, user_id: None)],
    "a key that an unknown output may have": [run("any", anything), run("use", lambda whatever: None)],
    "a key that an open mapping may have": [run("any", any_mapping), run("use", lambda whatever: None)],
    "a key that a fork may have": [
        run("any", fork("f", mode="all", paths=[anything])),
        run("use", lambda whatever: None),
    ],
    "a maybe key that an unknown output may have": [MAYBE_USER, run("any", anything), run("use", no_output)],
    "a type that an unknown output may have changed": [
        run("text", user_as_text),
        run("any", anything),
        run("use", no_output),
    ],
    "a type that can't be resolved": [run("user", unresolved), run("use", no_output)],
    "an int where a float is wanted": [run("float", takes_float)],
    "a subclass": [run("user", fetch_premium), run("use", no_output)],
    "a union of which one member fits": [run("user", either_user), run("use", lambda user: None)],
    "a coroutine function by what it is annotated with": [USER, ORDERS, run("count", count)],
    "an awaitable by what it gives": [run("user", later), run("use", no_output)],
    "a result under a key": [run("user", one_user, provides="user"), run("use", no_output)],
    "a result under a step's own key": [run("user", provider(one_user, "user")), run("use", no_output)],
    "None as a result": [USER, run("nothing", no_output), run("use", no_output)],
    "a partial needs less": [run("user", functools.partial(with_session, session=1)), run("use", no_output)],
    "a decorator that gives an argument": [run("user", giving_session(with_session)), run("use", no_output)],
    "a decorator that passes one on": [run("user", step(fetch_user)), run("use", no_output)],
    "parallel outputs": [USER, parallel("both", fetch_orders, fetch_premium), run("count", count)],
    "a race of which every path has the key": [
        parallel("race", fetch_user, fetch_premium, mode="race"),
        run("use", no_output),
    ],
    "a branch of which every case has the key": [
        branch("route", premium=[run("user", fetch_premium)], otherwise=[USER]),
        run("use", no_output),
    ],
    "a branch of which one case overrides the key": [
        USER,
        branch("route", premium=[run("user", fetch_premium)], otherwise=[]),
        run("use", no_output),
    ],
    "a case that uses what it provides itself": [branch("route", all=[USER, ORDERS, run("count", count)])],
    "a nested pipeline whose needs are met": [USER, nest("inner", make(ORDERS, inputs=Inner)), run("count", count)],
    "a nested pipeline of which nothing is declared": [
        USER,
        nest("inner", make(ORDERS, inputs=None)),
        run("count", count),
    ],
    "a transform provides the context": [
        USER,
        ORDERS,
        run("t", count, transform=True),
        run("done", lambda total: None),
    ],
    "the parent's keys survive a nested transform": [
        USER,
        ORDERS,
        nest("inner", make(run("t", count, transform=True), inputs=None)),
        run("use", no_output),
        run("done", lambda total: None),
    ],
    "a conditional transform with a key on both sides": [
        USER,
        run("t", fetch_premium, transform=True, condition=lambda: True),
        run("use", no_output),
    ],
    "after skip-remaining later steps may rely on the key": [
        run("user", fetch_user, on_error="skip-remaining"),
        run("use", no_output),
    ],
    "a definite key stays when a maybe step changes it": [
        USER,
        run("again", fetch_premium, on_error="continue"),
        run("use", no_output),
    ],
    "skip keeps the first type": [USER, run("text", user_as_text, policy="skip"), run("use", no_output)],
    "for_each over a list": [USER, ORDERS, each("ship", ship, over="orders", each="order")],
    "for_each over what is unknown": [run("any", anything), each("ship", ship, over="orders", each="order")],
    "for_each passes the element by **rest": [USER, ORDERS, each("ship", by_name, over="orders", each="order")],
    "the proof of what is there": [USER, outputs(Done)],
    "the proof of what may be there": [run("any", anything), outputs(Done)],
    "the proof of a maybe key in an open context": [MAYBE_USER, run("any", anything), outputs(Done)],
    "a row is a mapping": [run("row", row), run("use", lambda whatever: None)],
    "the pipeline of an element": [
        USER,
        ORDERS,
        each("ship", make(run("s", ship, provides="shipped"), inputs=None), over="orders", each="order"),
        run("use", lambda results: None),
    ],
    "a literal is some output": [USER, ORDERS, run("count", count), run("done", done, provides="done")],
}


@pytest.mark.parametrize("steps", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(steps) -> None:
    """A pipeline that may work is built."""
    make(*steps)


class TextIn(TypedDict):
    user_id: int


class OpenDone(TypedDict):
    user: str


REJECTED = {
    "a key that nothing provides": (
        [run("orders", fetch_orders)],
        ["step 'orders' needs 'user'", "nothing provides", "Known keys: {user_id: str, limit: int, trial?: bool}"],
    ),
    "a key that is misspelt": ([run("bad", lambda user_ld: None)], ["needs 'user_ld'", "did you mean 'user_id'?"]),
    "a key of a condition": (
        [run("user", fetch_user, condition=lambda plan: True)],
        ["step 'user' needs 'plan'"],
    ),
    "an input that may be missing": (
        [run("use", lambda trial: None)],
        ["'use' needs 'trial'", "the input provides it only if it is given", "trial=None"],
    ),
    "a key behind a condition": (
        [MAYBE_USER, run("use", no_output)],
        [
            "step 'use' needs 'user'",
            "step 'user' provides it only if its condition holds",
            "give the parameter a default",
        ],
    ),
    "a key of a step that continues": (
        [run("user", fetch_user, on_error="continue"), run("use", no_output)],
        ["step 'user' provides it only if it succeeds"],
    ),
    "a key of a step whose breaker skips": (
        [run("user", fetch_user, breaker=True), run("use", no_output)],
        ["only if its circuit breaker lets it run"],
    ),
    "a key with two reasons": (
        [run("user", fetch_user, condition=lambda: True, on_error="continue"), run("use", no_output)],
        ["only if its condition holds and it succeeds"],
    ),
    "a key that two steps may provide": (
        [MAYBE_USER, run("premium", fetch_premium, condition=lambda: True), run("use", no_output)],
        ["step 'premium' provides it only if its condition holds, and step 'user' provides it only if"],
    ),
    "a key that is not required in an output": (
        [USER, ORDERS, run("use", lambda alerts: None)],
        ["needs 'alerts'", "step 'orders' provides it only if it returns it"],
    ),
    "a key of a settled step": (
        [parallel("both", fetch_user, fetch_user, mode="settle"), run("use", no_output)],
        [
            "step 'both/fetch_user#2' provides it only if it succeeds, and step 'both/fetch_user' provides it",
        ],
    ),
    "a key of one path of a race": (
        [USER, parallel("race", fetch_orders, fetch_premium, mode="race"), run("count", count)],
        ["step 'count' needs 'orders'", "step 'race/fetch_orders' provides it only if it wins"],
    ),
    "a key of one case": (
        [branch("route", premium=[USER], basic=[]), run("use", no_output)],
        ["step 'route/premium/user' provides it only if case 'premium' is taken"],
    ),
    "a branch without otherwise": (
        [branch("route", otherwise_too=False, premium=[USER]), run("use", no_output)],
        ["only if case 'premium' is taken"],
    ),
    "a key that a case needs": ([branch("route", premium=[ORDERS])], ["step 'route/premium/orders' needs 'user'"]),
    "a key that a case of a case needs": (
        [branch("route", premium=[branch("again", gold=[ORDERS])])],
        ["step 'route/premium/again/gold/orders' needs 'user'"],
    ),
    "a key that a case may provide to itself": (
        [branch("route", premium=[MAYBE_USER, run("use", no_output)])],
        ["step 'route/premium/use' needs 'user'", "step 'route/premium/user' provides it only if its condition holds"],
    ),
    "a key that the pipeline of an element needs": (
        [
            USER,
            ORDERS,
            each("ship", make(run("s", lambda order, gone: None), inputs=None), over="orders", each="order"),
        ],
        ["step 'ship/*/s' needs 'gone'"],
    ),
    "an element of another type for a pipeline": (
        [
            USER,
            ORDERS,
            each("ship", make(run("s", ship_text, provides="ok"), inputs=None), over="orders", each="order"),
        ],
        ["for_each 'ship/*/s' takes 'order' as str, but 'orders' is list[Order]"],
    ),
    "a key that only one member of a group may have when it is settled": (
        [USER, parallel("both", fetch_orders, no_output, mode="settle"), run("count", count)],
        ["step 'count' needs 'orders'", "step 'both/fetch_orders' provides it only if it succeeds"],
    ),
    "a key that a fork's path needs": (
        [run("views", fork("views", mode="all", paths=[step(fetch_orders, id="pro")]), provides="views")],
        ["step 'views/pro' needs 'user'"],
    ),
    "a result that may be None": (
        [run("user", maybe_user), run("use", no_output)],
        ["step 'user' provides it only if it returns UserOut"],
    ),
    "a result of one of two records": (
        [run("user", either_record), run("use", no_output)],
        ["only if it returns UserOut"],
    ),
    "a key that a nested pipeline declares": (
        [nest("inner", make(ORDERS, inputs=Inner))],
        ["step 'inner' needs 'user'"],
    ),
    "a key that a nested pipeline needs": (
        [nest("inner", make(ORDERS, inputs=None))],
        ["step 'inner/orders' needs 'user'"],
    ),
    "a maybe key that a nested pipeline needs": (
        [MAYBE_USER, nest("inner", make(ORDERS, inputs=None))],
        ["step 'inner/orders' needs 'user'", "only if its condition holds"],
    ),
    "a key two levels down": (
        [nest("outer", make(nest("inner", make(ORDERS, inputs=None)), inputs=None))],
        ["step 'outer/inner/orders' needs 'user'"],
    ),
    "a key that a nested step may provide, and nobody else": (
        [nest("inner", make(MAYBE_USER, run("use", no_output), inputs=None))],
        ["step 'inner/use' needs 'user'"],
    ),
    "a key of a conditional nested pipeline": (
        [nest("inner", make(USER), condition=lambda: True), run("use", no_output)],
        ["step 'inner/user' provides it only if its condition holds"],
    ),
    "a type for a nested pipeline": (
        [run("text", user_as_text), nest("inner", make(ORDERS, inputs=None))],
        ["step 'inner/orders' takes 'user' as User, but it is str", "step 'text' provides it"],
    ),
    "a key that a transform dropped": (
        [USER, ORDERS, run("t", count, transform=True), run("use", no_output)],
        ["step 'use' needs 'user'", "{total: int, currency: str}"],
    ),
    "a key on one side of a conditional transform": (
        [USER, ORDERS, run("t", count, transform=True, condition=lambda: True), run("use", lambda total: None)],
        ["step 't' provides it only if its condition holds"],
    ),
    "a key on the other side of it": (
        [USER, ORDERS, run("t", count, transform=True, condition=lambda: True), run("use", no_output)],
        ["step 'user' provides it only if transform 't' does not replace it"],
    ),
    "a transform that returns None": (
        [USER, run("t", no_output, transform=True)],
        ["transform 't' returns None", "replaces the context", "use .step(…)"],
    ),
    "a transform that returns no mapping": ([run("t", one_text, transform=True)], ["transform 't' returns str"]),
    "a result without keys": ([run("text", one_text)], ["step 'text' returns str", 'provides="key"']),
    "a type that can't fit": (
        [run("text", user_as_text), run("use", no_output)],
        ["step 'use' takes 'user' as User, but it is str: step 'text' provides it"],
    ),
    "a type of the input": ([run("use", takes_number)], ["takes 'user_id' as int, but it is str: the input"]),
    "a type under a key": (
        [run("user", one_text, provides="user"), run("use", no_output)],
        ["takes 'user' as User, but it is str"],
    ),
    "a type of an optional parameter": (
        [USER, ORDERS, run("alerts", one_text, provides="alerts"), run("stats", stats)],
        ["step 'stats' takes 'alerts' as list[str], but it is str"],
    ),
    "generics": (
        [USER, ORDERS, run("texts", texts)],
        ["step 'texts' takes 'orders' as list[str], but it is list[Order]: step 'orders' provides it"],
    ),
    "unions": (
        [run("text", text_or_bytes, provides="user"), run("use", no_output)],
        ["takes 'user' as User, but it is str | bytes"],
    ),
    "skip keeps a type that does not fit": (
        [run("text", user_as_text), run("user", fetch_user, policy="skip"), run("use", no_output)],
        ["takes 'user' as User, but it is str: step 'text' provides it"],
    ),
    "override brings one that does not fit": (
        [USER, run("text", user_as_text), run("use", no_output)],
        ["takes 'user' as User, but it is str: step 'text' provides it"],
    ),
    "an element that hides a key": (
        [USER, ORDERS, each("ship", lambda user: None, over="orders", each="user")],
        ["each='user' would hide the key 'user'", "step 'user' provides it", "another name"],
    ),
    "an element that is no parameter": (
        [USER, ORDERS, each("ship", ship, over="orders", each="parcel")],
        ["each='parcel', but its function has no parameter of that name"],
    ),
    "a collection that is missing": (
        [USER, each("ship", ship, over="orders", each="order")],
        ["step 'ship' needs 'orders'"],
    ),
    "a collection that is none": (
        [USER, each("ship", lambda x: None, over="user_id", each="x")],
        ["over='user_id' has to hold a list, a tuple or a mapping, not str: the input provides it"],
    ),
    "an element of another type": (
        [USER, ORDERS, each("ship", ship_text, over="orders", each="order")],
        ["for_each 'ship' takes 'order' as str, but 'orders' is list[Order]"],
    ),
    "what for_each needs besides": (
        [USER, ORDERS, each("ship", lambda order, nowhere: None, over="orders", each="order")],
        ["step 'ship' needs 'nowhere'"],
    ),
    "a proof of what is missing": ([outputs(Done)], ["outputs(Done): the result has no 'user'", "Known keys"]),
    "a proof of a maybe key": (
        [MAYBE_USER, outputs(Done)],
        ["outputs(Done): the result may have no 'user'", "only if its condition holds", "NotRequired"],
    ),
    "a proof of another type": (
        [USER, outputs(OpenDone)],
        ["outputs(OpenDone): the result has 'user' as User, not str: step 'user' provides it"],
    ),
    "a proof after skip-remaining": (
        [run("user", fetch_user, on_error="skip-remaining"), outputs(Done)],
        ["may have no 'user'", "only if step 'user' does not fail"],
    ),
    "a proof of what comes after skip-remaining": (
        [run("text", one_text, provides="text", on_error="skip-remaining"), USER, outputs(Done)],
        ["step 'user' provides it only if step 'text' does not fail"],
    ),
    "a proof by what tells no keys": ([outputs(dict)], ["outputs(dict): give a TypedDict"]),
    "a type that is a decorator's own": (
        [run("user", asking_for_number(fetch_user))],
        ["step 'user' takes 'user_id' as int, but it is str"],
    ),
    "a builtin": ([run("print", print)], ["step 'print'", "lambda key: print(key)"]),
}


@pytest.mark.parametrize(("steps", "words"), REJECTED.values(), ids=REJECTED.keys())
def test_rejected(steps, words) -> None:
    """A pipeline that can't work is refused at its last step, with a message that says what to do."""
    p = make(*steps[:-1])
    with pytest.raises(ConfigError) as info:
        steps[-1](p)
    for word in words:
        assert word in str(info.value)


def test_type_that_is_defined_where_the_pipeline_is_built_is_known() -> None:
    """Although the annotation is a string, with a name that is in no module."""

    class Local:
        pass

    def make_local() -> Local: ...

    def use_local(local: Local): ...

    make(run("make", make_local, provides="local"), run("use", use_local))
    p = make(run("text", one_text, provides="local"))
    with pytest.raises(ConfigError, match="step 'use' takes 'local' as Local, but it is str: step 'text' provides it"):
        p.step("use", use_local)
