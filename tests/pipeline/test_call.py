"""How the function of a step is called: by place where that is the same, otherwise by name."""

from __future__ import annotations

import functools
import inspect

import pytest

from trio_steps import Pipeline, StepInputError
from trio_steps._pipeline.call import Function
from trio_steps._pipeline.signature import signature_of

CONTEXT = {"first": 1, "second": [2], "third": {"a": [3]}}


def run(fn, context=CONTEXT, share=()):
    return Function(fn, signature_of(fn, "s"), frozenset(share)).run(context, "route/s")


def one(second):
    return second


def three(third, first, second):
    return third, first, second


def only_by_name(third, *, first):
    return third, first


def by_default(third, first=0):
    return third, first


def everything(first, **rest):
    return first, rest


def wrapper(fn):
    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        return args, kwargs

    return wrapped


class Service:
    def method(self, second, first):
        return second, first


@pytest.mark.parametrize(
    ("fn", "expected", "places"),
    [
        (lambda: "nothing", "nothing", ()),
        (one, [2], ("second",)),
        (three, ({"a": [3]}, 1, [2]), ("third", "first", "second")),
        (only_by_name, ({"a": [3]}, 1), None),
        (by_default, ({"a": [3]}, 1), None),
        (everything, (1, {"second": [2], "third": {"a": [3]}}), None),
        (functools.partial(three, first=7), ({"a": [3]}, 7, [2]), None),
        (wrapper(one), ((), {"second": [2]}), None),
        (Service().method, ([2], 1), None),
    ],
)
def test_function_gets_each_key_as_the_parameter_of_that_name(fn, expected, places) -> None:
    assert Function(fn, signature_of(fn, "s"), frozenset()).places == places
    assert run(fn) == expected


@pytest.mark.parametrize("share", [(), ("second", "third")])
def test_function_gets_copies_except_of_shared_keys(share) -> None:
    assert (run(one, share=share) is CONTEXT["second"]) is bool(share)
    by_place, by_name = run(three, share=share)[0], run(only_by_name, share=share)[0]
    assert (by_place is CONTEXT["third"]) is (by_name is CONTEXT["third"]) is bool(share)


@pytest.mark.parametrize("fn", [one, three, only_by_name])
def test_missing_key_of_a_function_is_named(fn) -> None:
    with pytest.raises(StepInputError) as info:
        run(fn, {"other": 1})
    key = {one: "second", three: "third", only_by_name: "third"}[fn]
    assert (info.value.step, info.value.key, info.value.available) == ("route/s", key, ("other",))
    assert info.value.__suppress_context__


@pytest.mark.parametrize("fn", [one, only_by_name])
def test_key_error_of_the_copying_is_not_taken_for_a_missing_key(fn) -> None:
    """A key inside a value may raise it when it is hashed."""

    class Odd:
        hashable = True

        def __hash__(self):
            if not self.hashable:
                raise KeyError("odd")
            return 7

    odd = Odd()
    value = {odd: [1]}
    odd.hashable = False
    with pytest.raises(KeyError, match="odd"):
        run(fn, {"second": value, "third": value, "first": 1})


def test_function_with_a_signature_of_its_own_is_called_by_name() -> None:
    """It takes by place what it does not show."""

    def fn(second, first):
        return first, second

    fn.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("first", "second")]
    )
    assert run(fn) == (1, [2])


async def test_step_of_a_function_that_is_wrapped_takes_what_the_wrapper_passes() -> None:
    """What the wrapped function names is passed by name, and only if it is there."""

    def fn(first):
        return {"got": first}

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        assert args == ()
        return fn(**{"first": 0, **kwargs})

    pipeline = Pipeline().step("s", wrapped)
    assert (await pipeline.run({"first": 5}))["got"] == 5
    assert (await pipeline.run({}))["got"] == 0
