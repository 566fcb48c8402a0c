"""Options that add to the contract: strict=, provides= with several keys, and share= of a step."""

from __future__ import annotations

import functools
from typing import Any, TypedDict

import pytest

from trio_steps import ConfigError, Pipeline, StepInputError, StepOutputError, otherwise, step


class In(TypedDict):
    user: str
    images: list[str]


class Out(TypedDict):
    size: int


def sized(images: list[str]) -> Out:
    return {"size": len(images)}


def untold(user):
    return {"told": user}


def passing(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **{"db": "db", **kwargs})

    return wrapper


def query(db: str, user: str) -> Out:
    return {"size": len(db + user)}


# strict


def strict():
    return Pipeline("p", inputs=In, strict=True)


@pytest.mark.parametrize("options", [{}, {"inputs": dict}, {"inputs": Any}])
def test_strict_pipeline_declares_its_inputs(options) -> None:
    with pytest.raises(ConfigError, match=r"Pipeline\('p', strict=True\): say what its input is, inputs="):
        Pipeline("p", strict=True, **options)


@pytest.mark.parametrize(
    "add",
    [
        lambda p: p.step("s", untold),
        lambda p: p.step("s", Pipeline().step(untold)),
        lambda p: p.transform("s", untold),
        lambda p: p.repeat("s", Pipeline().step(untold), until=lambda: True, at_most=1),
    ],
    ids=["function", "nested", "transform", "repeat"],
)
def test_strict_pipeline_refuses_what_nobody_knows(add) -> None:
    with pytest.raises(ConfigError, match="step 's': what it returns is not known, and the pipeline is strict"):
        add(strict())
    assert add(Pipeline("p", inputs=In)).step_names[0] == "s"


def test_strict_pipeline_names_the_member_and_the_step_of_a_case() -> None:
    with pytest.raises(ConfigError, match="step 's/untold': what it returns is not known"):
        strict().step("s", sized, untold)
    with pytest.raises(ConfigError, match="step 's/otherwise/untold': what it returns is not known"):
        strict().branch_on("s", otherwise(lambda p: p.step(untold)))


async def test_strict_pipeline_takes_what_is_known() -> None:
    p = strict().step(sized).step("told", untold, provides=("told",)).step("last", lambda told, size: 1, provides="n")
    assert await p.run({"user": "a", "images": []}) == {"user": "a", "images": [], "size": 0, "told": "a", "n": 1}


async def test_what_a_decorator_may_pass_is_asked_for_in_a_strict_pipeline_only() -> None:
    assert (await Pipeline("p", inputs=In).step(passing(query), provides="q").run({"user": "a", "images": []}))["q"]
    with pytest.raises(ConfigError, match=r"needs 'db', which nothing .*; if a decorator passes 'db', its signature"):
        strict().step(passing(query), provides="q")


# provides


async def test_keys_of_a_mapping_are_named() -> None:
    def load(user: str) -> dict[str, int]:
        return {"a": 1, "b": 2}

    p = Pipeline("p", inputs=In).step(load, provides=("a", "b"))
    assert p.output_of() == {"user": str, "images": list[str], "a": int, "b": int}
    with pytest.raises(ConfigError, match="needs 'c', which nothing provides"):
        p.step("c", lambda c: None)
    assert (await p.run({"user": "a", "images": []}))["b"] == 2
    both = Pipeline("p", inputs=In).step("g", step(load, provides=("a", "b")), sized)
    assert both.output_of().keys() == {"user", "images", "a", "b", "size"}
    assert (await both.run({"user": "a", "images": []}))["a"] == 1


@pytest.mark.parametrize("result", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {}, None])
async def test_a_mapping_with_other_keys_is_refused(result) -> None:
    with pytest.raises(StepOutputError, match=r"'s' returned a mapping with .*, but provides=\('a', 'b'\) says"):
        await Pipeline("p").step("s", lambda: result, provides=("a", "b")).run({})


async def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(StepOutputError, match="'s' returned 5"):
        await Pipeline("p").step("s", lambda: 5, provides=("a",)).run({})
    p = Pipeline("p").transform("t", step(lambda: {"a": 1}, provides=("a",)))
    assert await p.run({"gone": 1}) == {"a": 1}


@pytest.mark.parametrize("provides", ["", (), ("",), ("a", "a"), 5, ["a"]])
def test_keys_that_are_none_are_refused(provides) -> None:
    with pytest.raises(ConfigError, match=r"step 's': provides=.*: give the key"):
        Pipeline("p").step("s", lambda: None, provides=provides)


# share


async def test_a_step_can_take_values_as_they_are() -> None:
    seen = []
    images = ["a"]
    p = (
        Pipeline("p")
        .step("as-it-is", lambda images: seen.append(images), share=("images",), provides="x")
        .step("copy", lambda images: seen.append(images), provides="y")
        .for_each("each", lambda n, images: seen.append(images), over="ns", each="n", into="z", share=("images",))
        .step("nested", Pipeline().step("s", lambda images: seen.append(images), provides="z"), share=("images",))
    )
    result = await p.run({"images": images, "ns": [1]})
    assert seen == [images] * 4
    assert [value is seen[0] for value in seen] == [True, False, True, True]
    assert result["images"] == images


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (
            lambda p: p.step("s", sized, share=("imges",)),
            "step 's': share=('imges',): nothing provides 'imges'; did you mean 'images'? Known keys: {user: str, im",
        ),
        (
            lambda p: p.step("s", sized, share=("user",)),
            "step 's': share=('user',): it has no function that takes 'user'",
        ),
        (
            lambda p: Pipeline("p").step("s", sized, share=("imges",)),
            "step 's': share=('imges',): it has no function that takes 'imges'",
        ),
        (lambda p: p.step("open", untold).step("s", sized, share=("imges",)), "did you mean 'images'?"),
        (lambda p: p.step("s", sized, share="images"), "step 's': share='images': give the keys in a tuple"),
        (
            lambda p: p.for_each("s", lambda x: x, over="images", each="x", into="y", share=("x",)),
            "nothing provides 'x'",
        ),
    ],
    ids=["misspelt", "not taken", "open", "close", "text", "element"],
)
def test_keys_that_can_not_be_shared_are_refused(add, message) -> None:
    with pytest.raises(ConfigError) as caught:
        add(Pipeline("p", inputs=In))
    assert message in str(caught.value)


async def test_what_a_step_itself_provides_can_be_shared() -> None:
    made = ["made"]
    p = Pipeline("p", inputs=In).step("s", lambda: made, provides="made", share=("made",))
    p = p.step("t", lambda made: made is not None, provides="t", share=("made",))
    assert (await p.run({"user": "a", "images": []}))["t"]


async def test_keys_of_a_pipeline_that_nothing_provides_are_refused_before_anything_runs() -> None:
    def ran(images):
        raise AssertionError("it ran")

    p = Pipeline("p", share=("imges",)).step("s", step(ran, provides="x"))
    with pytest.raises(ConfigError, match=r"pipeline 'p': share=… has 'imges', which neither the input has nor a step"):
        await p.run({"images": []})
    with pytest.raises(AssertionError, match="it ran"):
        await p.run({"imges": [], "images": []})
    provided = Pipeline("p", share=("x",)).step("s", sized, provides="x")
    assert (await provided.run({"images": []}))["x"] == {"size": 0}
    unknown = Pipeline("p", share=("told",)).step("s", untold)
    assert (await unknown.run({"user": "a"}))["told"] == "a"
    element = Pipeline("p", share=("x",)).for_each("s", lambda x: x, over="xs", each="x", into="ys")
    assert (await element.run({"xs": [1]}))["ys"] == [1]


async def test_declared_inputs_come_before_shared_keys() -> None:
    with pytest.raises(StepInputError):
        await Pipeline("p", inputs=In, share=("imges",)).step(sized).run({})
