"""Steps in classes, and steps under `inspect`: both behave like the function that they are made of."""

from __future__ import annotations

import functools
import inspect
from types import MethodType

import pytest
from bodies import BoomError

from trio_steps import FunctionStep, Pipeline, Retry, current_scope, fork, gather, settle, step


class Api:
    """A service, whose methods are steps."""

    made = 0

    def __init__(self, token="secret"):
        self.token = token
        self.tries = 0

    @step(timeout=3, retry=Retry(3, on=BoomError))
    async def get(self, key, *, fresh=False):
        """Get what is there for `key`."""
        self.tries += 1
        if self.tries < 3:
            raise BoomError
        return f"{self.token}/{key}{'!' if fresh else ''}"

    @step
    async def token_of(self):
        return self.token

    @step(id="given")
    def named(self):
        return current_scope().name

    @classmethod
    @step(timeout=3)
    async def above(cls, key="nothing"):
        return cls.__name__, key

    @step(timeout=3)
    @classmethod
    async def below(cls, key="nothing"):
        return cls.__name__, key

    @staticmethod
    @step
    async def static_above(key="nothing"):
        return key

    @step(timeout=3)
    @staticmethod
    async def static_below(key="nothing"):
        return key


class Derived(Api):
    pass


# Methods


async def test_step_is_a_method() -> None:
    api = Api()
    assert await api.get("x") == "secret/x"
    assert api.tries == 3
    assert await api.get("x", fresh=True) == "secret/x!"
    assert await api.get.run("x", observers=[]) == "secret/x"
    assert await Api.get(api, "x") == "secret/x"


async def test_step_that_is_a_method_is_bound_to_the_instance_it_is_looked_up_on() -> None:
    first, second = Api("first"), Api("second")
    assert await gather(first.token_of, second.token_of) == ("first", "second")


async def test_step_that_is_a_method_is_a_step_with_the_same_id_and_policies() -> None:
    api = Api()
    for method, fn in ((api.get, Api.get), (api.named, Api.named)):
        assert isinstance(method, FunctionStep)
        assert (method.id, method.id_given) == (fn.id, fn.id_given)
        assert method.policies is fn.policies
    assert await api.named() == "given"
    assert (api.get.id, api.named.id) == ("get", "given")


async def test_step_that_is_a_method_is_a_path_one_level_down() -> None:
    api = Api()
    api.tries = 2

    class Deep:
        @step(timeout=1)
        def where(self):
            return current_scope().name

        @classmethod
        @step
        def where_of_class(cls):
            return current_scope().name

    paths = [functools.partial(api.get, "x"), Deep().where, Deep.where_of_class, Deep().where_of_class]
    assert await fork("f", mode="all", paths=paths)("input") == (
        "secret/x",
        "f/where",
        "f/where_of_class",
        "f/where_of_class#2",
    )


async def test_step_that_is_a_method_takes_the_input_of_a_fork() -> None:
    api = Api()
    api.tries = 2
    assert await fork("f", mode="all", paths=[api.get, Api.static_above])("x") == ("secret/x", "nothing")


async def test_step_that_is_a_method_is_a_step_of_a_pipeline() -> None:
    api = Api()
    api.tries = 2
    done = await Pipeline("p").step("get", step(api.get, provides="found")).run({"key": "x"})
    assert done == {"key": "x", "found": "secret/x"}


async def test_step_that_is_a_method_without_its_instance_fails_as_a_function_does() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        await Api.token_of()


# Class methods and static methods


@pytest.mark.parametrize("place", [Api, Api()], ids=["class", "instance"])
async def test_step_is_a_class_method_above_its_decorator_or_below(place) -> None:
    for method in (place.above, place.below):
        assert await method() == ("Api", "nothing")
        assert await method("x") == ("Api", "x")
        assert await method(key="x") == ("Api", "x")
        assert await settle(method) != ()


async def test_step_that_is_a_class_method_is_given_the_class_it_is_looked_up_on() -> None:
    assert await Derived.above() == ("Derived", "nothing")
    assert await Derived().below() == ("Derived", "nothing")


async def test_step_that_is_a_class_method_is_one_level_down_whatever_binds_it() -> None:
    """Since Python 3.13, ``classmethod`` binds what is below it as a plain method."""

    @step(timeout=1)
    def where(cls, key="nothing"):
        return current_scope().name, cls, key

    bound = MethodType(where, Api)
    assert await gather(bound, functools.partial(bound, "x")) == (
        ("gather/where", Api, "nothing"),
        ("gather/where#2", Api, "x"),
    )


@pytest.mark.parametrize("place", [Api, Api()], ids=["class", "instance"])
async def test_step_is_a_static_method_above_its_decorator_or_below(place) -> None:
    for method in (place.static_above, place.static_below):
        assert isinstance(method, FunctionStep)
        assert await method() == "nothing"
        assert await method("x") == "x"


# What is no function does not bind


class Callable:
    async def __call__(self, key):
        return key


async def test_step_of_a_callable_object_in_a_class_is_not_bound() -> None:
    class Holder:
        call = step(Callable())
        built_in = step(len)
        forked = fork("f", mode="all", paths=[])

    assert await Holder().call("x") == "x"
    assert Holder().call is Holder.call
    assert await Holder().built_in("xyz") == 3
    assert Holder().forked is Holder.forked


# What a step says of its function


def test_step_has_the_signature_of_its_function() -> None:
    assert str(inspect.signature(Api.get)) == "(self, key, *, fresh=False)"
    assert str(inspect.signature(Api().get)) == "(key, *, fresh=False)"
    assert str(inspect.signature(step(Callable()))) == "(key)"
    assert str(inspect.signature(step(functools.partial(Api.get, "api")))) == "(key, *, fresh=False)"
    assert str(inspect.signature(step(step(Api.get, timeout=1)))) == "(self, key, *, fresh=False)"


def test_step_has_the_name_and_the_text_of_its_function() -> None:
    for method in (Api.get, Api().get):
        assert method.__name__ == "get"
        assert method.__qualname__ == "Api.get"
        assert method.__module__ == __name__
        assert inspect.getdoc(method) == "Get what is there for `key`."


def test_class_of_steps_can_be_inspected() -> None:
    assert "fn" in inspect.signature(FunctionStep).parameters
    assert FunctionStep.__module__ == "trio_steps"
    assert inspect.getdoc(FunctionStep).startswith("A function with policies")
