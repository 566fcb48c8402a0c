"""How a function is called with the keys of a context."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Coroutine
from types import MethodType
from typing import Any

import attrs
import pytest

from trio_steps import ConfigError, fork, step
from trio_steps._core import describe
from trio_steps._core.errors import StepInputError
from trio_steps._core.function import FunctionStep
from trio_steps._core.policy.policies import Policies
from trio_steps._pipeline.call import binder
from trio_steps._pipeline.contract.annotations import UNKNOWN
from trio_steps._pipeline.signature import Signature, signature_of


def read(fn):
    """Return what is required, what is optional, and whether the rest and the whole are taken."""
    signature = signature_of(fn, "load")
    return signature.required, signature.optional, signature.rest, signature.whole


def plain(user_id, limit=10, *, deep=False):
    return {"args": (user_id, limit, deep)}


async def asynchronous(user_id, *, limit=10):
    return {"args": (user_id, limit)}


def with_rest(user_id, **rest):
    return {"user_id": user_id, **rest}


def with_args(user_id, *args):
    return {"user_id": user_id, "args": args}


def passing_on(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def passing_on_self(fn):
    @functools.wraps(fn)
    def wrapper(self, *args, **kwargs):
        return fn(self, *args, **kwargs)

    return wrapper


def giving_limit(fn):
    @functools.wraps(fn)
    def wrapper(user_id):
        return fn(user_id, limit=1)

    return wrapper


def giving_limit_and_more(fn):
    @functools.wraps(fn)
    def wrapper(token, **kwargs):
        return fn(user_id=token, **kwargs)

    return wrapper


def taking_keywords(fn):
    @functools.wraps(fn)
    def wrapper(token, *args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def unwrapped(fn):
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


class Service:
    def load(self, user_id, limit=10):
        return {"args": (user_id, limit)}

    def anything(self, *args, **kwargs):
        return {"args": (args, kwargs)}

    def everything(self, **rest):
        return rest

    @passing_on
    def decorated(self, user_id):
        return {"user_id": user_id}

    @passing_on_self
    def decorated_method(self, user_id):
        return {"user_id": user_id}

    @functools.lru_cache  # noqa: B019 - it is called by nobody
    def cached(self, user_id):
        return {"user_id": user_id}

    bound = functools.partialmethod(load, limit=3)

    @classmethod
    def of(cls, user_id):
        return {"user_id": user_id}

    @staticmethod
    def apart(user_id):
        return {"user_id": user_id}


class Loader:
    async def __call__(self, user_id, limit=10):
        return {"args": (user_id, limit)}


class Wrapping:
    """A decorator that is a class."""

    def __init__(self, fn):
        functools.update_wrapper(self, fn)
        self.fn = fn

    def __call__(self, *args, **kwargs):
        return self.fn(*args, **kwargs)


@attrs.frozen
class User:
    user_id: str
    name: str = "nobody"


class Inherited(User):
    pass


class Anything:
    def __init__(self, *args, **kwargs):
        pass


def explicit(*args, **kwargs):
    return {}


explicit.__signature__ = __import__("inspect").signature(lambda user_id: None)


def circle(user_id, **rest):
    return {}


circle.__wrapped__ = circle

explicit_wrapper = passing_on(plain)
explicit_wrapper.__signature__ = explicit.__signature__

explicit_object = Loader()
explicit_object.__signature__ = explicit.__signature__


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        pytest.param(plain, (("user_id",), ("limit", "deep"), False, False), id="function"),
        pytest.param(asynchronous, (("user_id",), ("limit",), False, False), id="async function"),
        pytest.param(lambda: None, ((), (), False, False), id="lambda without parameters"),
        pytest.param(lambda user_id, limit=1: None, (("user_id",), ("limit",), False, False), id="lambda"),
        pytest.param(with_rest, (("user_id",), (), True, False), id="**rest"),
        pytest.param(with_args, (("user_id",), (), False, False), id="*args after a name"),
        pytest.param(lambda **rest: None, ((), (), True, False), id="nothing but **rest"),
        pytest.param(lambda ctx, /: None, ((), (), False, True), id="whole"),
        pytest.param(lambda ctx=None, /: None, ((), (), False, True), id="whole with a default"),
        pytest.param(lambda ctx, more=1, /: None, ((), (), False, True), id="whole and an optional place"),
        pytest.param(lambda ctx, /, user, **rest: None, (("user",), (), True, True), id="whole, key and **rest"),
        pytest.param(functools.partial(plain, 1), ((), ("limit", "deep"), False, False), id="partial by position"),
        pytest.param(functools.partial(plain, limit=3), (("user_id",), ("deep",), False, False), id="partial by name"),
        pytest.param(
            functools.partial(functools.partial(plain, limit=3), 1), ((), ("deep",), False, False), id="two partials"
        ),
        pytest.param(functools.partial(with_args, 1, 2, 3), ((), (), False, False), id="partial fills *args"),
        pytest.param(functools.partial(with_rest, 1, more=2), ((), (), True, False), id="partial fills **rest"),
        pytest.param(functools.partial(lambda ctx, /, key: None, 1), (("key",), (), False, False), id="whole is bound"),
        pytest.param(Service().load, (("user_id",), ("limit",), False, False), id="bound method"),
        pytest.param(Service.load, (("self", "user_id"), ("limit",), False, False), id="function of a class"),
        pytest.param(Service().bound, (("user_id",), (), False, False), id="partialmethod"),
        pytest.param(Service.of, (("user_id",), (), False, False), id="classmethod"),
        pytest.param(Service().apart, (("user_id",), (), False, False), id="staticmethod"),
        pytest.param(Service().everything, ((), (), True, False), id="method with **rest"),
        pytest.param(Service().decorated, (("user_id",), (), False, False), id="decorated method"),
        pytest.param(Service().decorated_method, (("user_id",), (), False, False), id="decorated method, with self"),
        pytest.param(Service().cached, (("user_id",), (), False, False), id="cached method"),
        pytest.param(MethodType(Loader(), 1), ((), ("limit",), False, False), id="method of an object"),
        pytest.param(Loader(), (("user_id",), ("limit",), False, False), id="callable object"),
        pytest.param(Wrapping(plain), (("user_id",), ("limit", "deep"), False, False), id="decorator that is a class"),
        pytest.param(User, (("user_id",), ("name",), False, False), id="class"),
        pytest.param(Inherited, (("user_id",), ("name",), False, False), id="class with an inherited __init__"),
        pytest.param(object, ((), (), False, False), id="class without parameters"),
        pytest.param(len, ((), (), False, True), id="builtin that has a signature"),
        pytest.param(functools.lru_cache(plain), (("user_id",), ("limit", "deep"), False, False), id="lru_cache"),
        pytest.param(passing_on(plain), (("user_id",), ("limit", "deep"), False, False), id="decorated"),
        pytest.param(passing_on(passing_on(plain)), (("user_id",), ("limit", "deep"), False, False), id="twice"),
        pytest.param(passing_on(Loader()), (("user_id",), ("limit",), False, False), id="decorated object"),
        pytest.param(passing_on(with_rest), (("user_id",), (), True, False), id="decorated **rest"),
        pytest.param(giving_limit(plain), (("user_id",), (), False, False), id="decorator that gives an argument"),
        pytest.param(
            giving_limit_and_more(plain),
            (("token",), ("user_id", "limit", "deep"), False, False),
            id="decorator with a parameter of its own",
        ),
        pytest.param(
            giving_limit_and_more(with_rest), (("token",), ("user_id",), True, False), id="the same around **rest"
        ),
        pytest.param(
            taking_keywords(unwrapped(plain)), (("token",), (), True, False), id="around something that does not tell"
        ),
        pytest.param(circle, (("user_id",), (), True, False), id="a circle of decorators"),
        pytest.param(explicit, (("user_id",), (), False, False), id="__signature__"),
        pytest.param(explicit_wrapper, (("user_id",), (), False, False), id="__signature__ of a decorated function"),
        pytest.param(explicit_object, (("user_id",), (), False, False), id="__signature__ of an object"),
        pytest.param(step(plain), (("user_id",), ("limit", "deep"), False, False), id="step"),
        pytest.param(step(step(Service().load)), (("user_id",), ("limit",), False, False), id="step of a step"),
        pytest.param(functools.partial(step(plain), 1), ((), ("limit", "deep"), False, False), id="partial of a step"),
        pytest.param(fork("both", mode="all", paths=[plain]), ((), (), False, True), id="fork"),
    ],
)
def test_signature_of(fn, expected) -> None:
    """Which keys each kind of callable takes."""
    assert read(fn) == expected


@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(dict, id="dict"),
        pytest.param(print, id="print"),
        pytest.param(functools.partial(print, "hello"), id="partial of print"),
        pytest.param(unwrapped(plain), id="decorated without wraps"),
        pytest.param(passing_on(print), id="wraps of what does not tell"),
        pytest.param(Service().anything, id="method"),
        pytest.param(Anything, id="class"),
        pytest.param(step(print), id="step"),
    ],
)
def test_signature_of_what_does_not_tell_is_refused(fn) -> None:
    """A callable that takes anything is refused, with the step's name and the remedy."""
    with pytest.raises(ConfigError, match=r"^step 'load': .* does not say which keys .*lambda key: .*functools.wraps"):
        signature_of(fn, "load")


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        pytest.param(5, r"^step 'load': give a function or another callable, not 5$", id="no callable"),
        pytest.param([plain], r"callable, not \[.*\]; give several one by one, not in a list$", id="a list"),
        pytest.param(lambda a, b, /: None, r"takes 2 positional-only arguments.*def f\(context, /\)", id="two places"),
        pytest.param(
            functools.partial(lambda: None, 1), r"can never be called: 1 positional arguments are bound", id="too many"
        ),
        pytest.param(
            functools.partial(plain, nope=1), r"the argument 'nope' is bound, but it takes none", id="unknown name"
        ),
        pytest.param(functools.partial(lambda ctx, /: None, ctx=1), r"the argument 'ctx' is bound", id="no name"),
        pytest.param(functools.partial(plain, 1, user_id=1), r"the argument 'user_id' is bound", id="bound twice"),
    ],
)
def test_signature_of_what_can_not_be_called_is_refused(fn, message) -> None:
    """A callable that can't be called with a context is refused, and the message says why."""
    with pytest.raises(ConfigError, match=message):
        signature_of(fn, "load")


@pytest.mark.parametrize(
    ("fn", "bound", "name"),
    [(lambda a, b: None, 0, "the argument 'a'"), (lambda a, *args: None, 1, "an argument")],
)
def test_argument_left_open_by_position_is_refused_because_keys_are_passed_by_name(fn, bound, name, monkeypatch):
    hole = getattr(functools, "Placeholder", None) or object()  # before Python 3.14, any object can stand for it
    monkeypatch.setattr(describe, "_PLACEHOLDER", hole)
    with pytest.raises(ConfigError, match=f"can never be called: {name} is left open by position, and keys are passed"):
        signature_of(functools.partial(fn, *[1] * bound, hole, 2), "load")


def test_whole_context_may_be_left_open_by_position(monkeypatch) -> None:
    hole = getattr(functools, "Placeholder", None) or object()
    monkeypatch.setattr(describe, "_PLACEHOLDER", hole)
    found = signature_of(functools.partial(lambda context, number, /: None, hole, 2), "load")
    assert (found.whole, found.required) == (True, ())


def test_signature_of_a_coroutine_is_refused_and_the_coroutine_closed() -> None:
    async def fetch() -> None: ...

    coroutine = fetch()
    with pytest.raises(ConfigError, match=r"^step 'load': give the function fetch, not the coroutine that fetch\(…\) "):
        signature_of(coroutine, "load")
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


@pytest.mark.parametrize(
    ("fn", "bound"),
    [
        (functools.partial(with_rest, more=1), {"more"}),
        (functools.partial(with_rest, 1), {"user_id"}),
        (functools.partial(lambda ctx, /, **rest: None, 1), set()),
        (Service().everything, {"self"}),
        (User, {"self"}),
    ],
)
def test_signature_knows_which_keys_would_collide_with_bound_arguments(fn, bound) -> None:
    """A bound argument must not be passed again by ``**rest``."""
    assert signature_of(fn, "load").bound == bound


def test_signature_of_a_decorated_function_names_what_came_through_the_decorator() -> None:
    """An error can then say that a decorator may have passed the key."""
    assert signature_of(passing_on(plain), "load").wrapped == {"user_id", "limit", "deep"}
    assert signature_of(plain, "load").wrapped == set()


def typed(user_id: str, limit: int = 10) -> User: ...


async def typed_async(user_id: str) -> User: ...


async def returns_awaitable() -> Awaitable[User]: ...


def returns_coroutine() -> Coroutine[Any, Any, User]: ...


def returns_maybe_coroutine() -> Awaitable[User] | None: ...


def returns_task() -> Task: ...


def returns_tasks() -> Tasks[User]: ...


def returns_none() -> None: ...


class Task:
    def __await__(self):
        yield


class Tasks(Awaitable[Any]):
    __class_getitem__ = classmethod(__import__("types").GenericAlias)


@pytest.mark.parametrize(
    ("fn", "returns"),
    [
        (typed, User),
        (typed_async, User),
        (passing_on(typed_async), UNKNOWN),  # the decorator may return something else
        (functools.partial(typed, "1"), User),
        (step(typed), User),
        (User, User),
        (returns_awaitable, Awaitable[User]),
        (returns_coroutine, User),
        (returns_maybe_coroutine, User | None),
        (returns_task, UNKNOWN),
        (returns_tasks, UNKNOWN),
        (returns_none, type(None)),
        (plain, UNKNOWN),
        (fork("both", mode="all", paths=[plain]), UNKNOWN),
    ],
)
def test_signature_returns_what_comes_out_when_it_is_awaited(fn, returns) -> None:
    """An awaitable is unwrapped once. A class returns an instance, whatever its ``__init__`` is annotated with."""
    assert signature_of(fn, "load").returns == returns


def test_signature_has_the_types_of_the_keys() -> None:
    """Types belong to keys; a bound argument has none."""
    assert signature_of(typed, "load").types == {"user_id": str, "limit": int}
    assert signature_of(functools.partial(typed, limit=1), "load").types == {"user_id": str}
    assert signature_of(plain, "load").types == {"user_id": UNKNOWN, "limit": UNKNOWN, "deep": UNKNOWN}
    assert signature_of(Inherited, "load").types == {"user_id": str, "name": str}


def provider(fn, provides):
    return FunctionStep(fn, None, Policies(), provides)


@pytest.mark.parametrize(
    ("fn", "provides"),
    [
        (plain, None),
        (step(plain), None),
        (provider(plain, "user"), "user"),
        (provider(step(plain), "user"), "user"),
        (step(provider(plain, "user")), "user"),
        (provider(provider(plain, "inner"), "outer"), "outer"),
        (functools.partial(provider(plain, "user"), limit=1), "user"),
    ],
)
def test_signature_knows_what_a_step_provides(fn, provides) -> None:
    """The outermost step with ``provides=`` counts."""
    assert signature_of(fn, "load").provides == provides


def test_signature_takes_named_keys_and_with_rest_all_but_the_bound() -> None:
    """`Signature.takes` says which keys can be passed."""
    signature = signature_of(functools.partial(lambda user_id, limit=1, **rest: None, more=2), "load")
    assert [signature.takes(key) for key in ("user_id", "limit", "other", "more")] == [True, True, True, False]
    assert not signature_of(plain, "load").takes("other")


def test_signature_without_a_key_never_passes_it() -> None:
    """A key that the caller passes itself is neither required nor in the rest."""
    signature = signature_of(lambda image, size=1, **rest: None, "load").without("image").without("size")
    assert (signature.required, signature.optional) == ((), ())
    assert bind(signature, {"image": 1, "size": 2, "other": [3]}) == ((), {"other": ["copy", [3]]})


def bind(signature, context, share=()):
    def copy(value, key, step):
        assert step == "route/load"
        return value if key in share else ["copy", value]

    return binder(signature, copy, lambda context: ("whole", context))(context, "route/load")


CONTEXT = {"user_id": [1], "limit": [2], "more": [3], "not an identifier": [4]}


@pytest.mark.parametrize(
    ("fn", "share", "expected"),
    [
        pytest.param(
            lambda user_id, more: None, (), ((), {"user_id": ["copy", [1]], "more": ["copy", [3]]}), id="named"
        ),
        pytest.param(lambda user_id, more: None, ("more",), ((), {"user_id": ["copy", [1]], "more": [3]}), id="shared"),
        pytest.param(lambda user_id: None, ("user_id",), ((), {"user_id": [1]}), id="nothing but shared"),
        pytest.param(lambda limit=0, absent=0: None, (), ((), {"limit": ["copy", [2]]}), id="optional"),
        pytest.param(lambda limit=0: None, ("limit",), ((), {"limit": [2]}), id="optional, shared"),
        pytest.param(
            lambda user_id, limit=0, **rest: None,
            ("more",),
            ((), {"user_id": ["copy", [1]], "limit": ["copy", [2]], "more": [3], "not an identifier": ["copy", [4]]}),
            id="rest",
        ),
        pytest.param(
            functools.partial(lambda user_id, **rest: None, 7, limit=8),
            (),
            ((), {"more": ["copy", [3]], "not an identifier": ["copy", [4]]}),
            id="bound arguments stay bound",
        ),
        pytest.param(functools.partial(plain, limit=8, deep=9), (), ((), {"user_id": ["copy", [1]]}), id="partial"),
        pytest.param(lambda ctx, /: None, (), ((("whole", CONTEXT),), {}), id="whole"),
        pytest.param(
            lambda ctx, /, more: None, (), ((("whole", CONTEXT),), {"more": ["copy", [3]]}), id="whole and key"
        ),
        pytest.param(lambda: None, (), ((), {}), id="nothing"),
    ],
)
def test_binder_passes_copies_of_what_is_named(fn, share, expected) -> None:
    """Arguments are copies, except those of shared keys. Nothing else is passed."""
    assert bind(signature_of(fn, "load"), CONTEXT, share) == expected


@pytest.mark.parametrize("fn", [lambda absent: None, lambda absent, limit=0: None])
def test_binder_raises_for_a_required_key_that_is_missing(fn) -> None:
    """The error has the step's full name, the key, and the keys that exist."""
    with pytest.raises(StepInputError) as info:
        bind(signature_of(fn, "load"), CONTEXT)
    assert (info.value.step, info.value.key, info.value.available) == ("route/load", "absent", tuple(CONTEXT))
    assert info.value.__suppress_context__


def test_binder_lets_a_key_error_of_the_copying_through() -> None:
    """Only a missing key is a `StepInputError`."""

    def copy(value, key, step):
        raise KeyError(value)

    with pytest.raises(KeyError, match="1"):
        binder(signature_of(lambda user_id: None, "load"), copy, dict)(CONTEXT, "load")


def test_what_is_bound_calls_the_function() -> None:
    """The arguments from `binder` fit the function that the signature was read from."""
    for fn in (plain, functools.partial(plain, limit=5), passing_on(plain), Service().decorated, with_args):
        args, kwargs = binder(signature_of(fn, "load"), lambda value, *_: value, dict)(CONTEXT, "load")
        assert fn(*args, **kwargs)


def test_signature_is_frozen() -> None:
    """A signature is a value: it can be shared by pipelines that share a prefix."""
    signature = signature_of(typed, "load")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        signature.rest = True
    with pytest.raises(TypeError):
        signature.types["user_id"] = int
    assert Signature(types={"a": int}) == Signature(types={"a": int})
