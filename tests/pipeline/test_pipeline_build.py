"""The names of a pipeline and its steps, what is refused when it is built, and what is known of it then."""

from __future__ import annotations

import functools
from typing import TypedDict

import pytest
from records import Given, Point

from trio_steps import (
    CircuitBreaker,
    ConfigError,
    Pipeline,
    current_scope,
    fork,
    step,
)

# Names and scopes


async def test_full_names_leave_out_the_root_and_the_name_of_a_single_nested_pipeline() -> None:
    names = []

    def see():
        names.append(current_scope().name)

    inner = Pipeline("inner").step("see", see)
    p = Pipeline("root").step("top", see).step("nest", inner).step("group", inner, see)
    await p.run({})
    assert names[:2] == ["top", "nest/see"]
    assert sorted(names[2:]) == ["group/inner/see", "group/see"]
    assert p.step_names == ("top", "nest", "nest/see", "group", "group/inner", "group/inner/see", "group/see")


async def test_pipeline_as_a_path_of_a_fork_is_a_level_of_the_names() -> None:
    async def see():
        names.append(current_scope().name)

    names = []
    await fork("f", mode="all", paths=[Pipeline("p").step("see", see)])({})
    assert names == ["f/p/see"]


async def test_observers_and_hooks_of_a_pipeline_hear_of_it_as_a_path_of_a_fork_too() -> None:
    told = []
    p = Pipeline("p", observers=[lambda e: told.append(e.name)], on_step_complete=lambda e: told.append(e.name))
    await fork("f", mode="all", paths=[p.step("s", lambda: None)])({})
    assert told == ["f/p/s", "f/p/s", "f/p/s"]


async def test_pipeline_called_inside_a_step_is_a_level_of_the_names() -> None:
    async def outer():
        await Pipeline("p").step("see", lambda: names.append(current_scope().name)).run({})

    names = []
    await Pipeline("root").step(outer).run({})
    assert names == ["outer/p/see"]


async def test_run_has_the_state_it_was_given() -> None:
    state = {"n": 1}
    seen = []
    await Pipeline().step("s", lambda: seen.append(current_scope().state)).run({}, state=state)
    assert seen == [state]


def test_unnamed_steps_take_the_name_of_their_function_or_their_position() -> None:
    def fetch():
        return None

    p = Pipeline().step(fetch).step(fetch).step(lambda: None).step(fetch, fetch).step(Pipeline("sub").step(fetch))
    p = p.step(Pipeline().step(fetch))
    names = [name for name in p.step_names if "/" not in name]
    assert names == ["fetch", "fetch#2", "step-3", "step-4", "sub", "step-6"]


def test_members_of_a_group_are_told_apart() -> None:
    sub = Pipeline("sub")
    p = Pipeline().step("g", sub, sub, lambda: None, step(lambda: None, id="named"))
    assert p.step_names == ("g", "g/sub", "g/sub#2", "g/3", "g/named")


@pytest.mark.parametrize("name", ["", "a/b"])
def test_name_that_is_empty_or_a_path_is_refused(name) -> None:
    with pytest.raises(ConfigError, match="can't be the name of a step"):
        Pipeline().step(name, lambda: None)
    with pytest.raises(ConfigError, match="can't be the name of a step"):
        Pipeline(name)


def test_name_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^step 'a': the pipeline has a step of that name already"):
        Pipeline().step("a", lambda: None).step("a", lambda: None)


def test_builders_are_immutable() -> None:
    prefix = Pipeline().step("a", lambda: None)
    one, two = prefix.step("b", lambda: None), prefix.step("c", lambda: None)
    assert (prefix.step_names, one.step_names, two.step_names) == (("a",), ("a", "b"), ("a", "c"))


# What is refused when it is built


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: p.step("s"), "give it a function"),
        (lambda p: p.step(), "give it a function"),
        (lambda p: p.step("s", 5), "not 5"),
        (lambda p: p.step("s", dict), "does not say which keys"),
        (lambda p: p.step("s", print, print), "does not say which keys|mode"),
        (lambda p: p.step("s", lambda: None, mode="quorum"), 'use "all", "settle", "race" or "flow"'),
        (lambda p: p.step("s", lambda: None, concurrency=2), "goes with several functions"),
        (lambda p: p.step("s", lambda: None, lambda: None, concurrency=0), "at least 1"),
        (lambda p: p.step("s", lambda: None, lambda: None, provides="x"), "is for one function"),
        (lambda p: p.step("s", lambda: None, provides=""), "give the key"),
        (lambda p: p.step("s", Pipeline("x"), provides="x"), "this is a pipeline"),
        (lambda p: p.step("s", lambda: None, on_error="ignore"), 'use "raise", "continue" or "skip-remaining"'),
        (lambda p: p.step("s", lambda: None, merge_policy="first"), "merge_policy='first'"),
        (lambda p: p.step("s", lambda: None, timeout=0), "timeout"),
        (lambda p: p.step("s", lambda: None, condition=5), "not 5"),
        (lambda p: p.transform("t"), "give it one function"),
        (lambda p: p.transform("t", Pipeline("x")), "give it one function"),
        (lambda p: p.transform("t", lambda: None, lambda: None), "give it one function"),
        (lambda p: Pipeline(share="images"), r"share=\('images',\)"),
        (lambda p: step(lambda: None, provides=""), "give the key"),
    ],
)
def test_misuse_is_refused_when_it_is_built(build, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Pipeline())


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="tiemout"):
        Pipeline().step("s", lambda: None, tiemout=5)


def test_step_that_needs_what_can_not_be_there_is_refused_at_its_line() -> None:
    p = Pipeline(inputs=Given).step("ok", lambda a: None, provides="user")
    with pytest.raises(ConfigError, match=r"^step 'bad' needs 'usr', which nothing provides; did you mean 'user'\?"):
        p.step("bad", lambda usr: None)
    with pytest.raises(ConfigError, match="needs 'nothing'"):
        p.step("bad", lambda: None, condition=lambda nothing: True)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"condition": lambda a: a > 1}, "its condition holds"),
        ({"condition": False}, "its condition holds"),
        ({"on_error": "continue"}, "it succeeds"),
        ({"circuit_breaker": CircuitBreaker(1, 1, on_open="skip")}, "its circuit breaker lets it run"),
    ],
)
def test_step_that_needs_a_maybe_key_is_refused_and_told_who_provides_it_and_when(options, why) -> None:
    p = Pipeline(inputs=Given).step("maybe", lambda: None, provides="m", **options)
    with pytest.raises(ConfigError, match=f"step 'maybe' provides it only if {why}"):
        p.step("use", lambda m: None)
    p.step("use", lambda m=None: None)


def test_breaker_of_a_wrapped_step_makes_its_keys_maybe() -> None:
    skipping = CircuitBreaker(1, 1, on_open="skip")
    inner = functools.partial(step(step(lambda x=0: 1, circuit_breaker=skipping), provides="m"), x=1)
    p = Pipeline(inputs=Given).step("maybe", inner)
    with pytest.raises(ConfigError, match="its circuit breaker lets it run"):
        p.step("use", lambda m: None)
    Pipeline(inputs=Given).step("sure", step(lambda: 1, provides="m", circuit_breaker=CircuitBreaker(1, 1))).step(
        "use", lambda m: None
    )


def test_after_skip_remaining_later_steps_may_rely_on_the_key_but_not_the_result() -> None:
    class Done(TypedDict):
        m: int

    def use(m) -> None:
        """Need the key."""

    p = Pipeline(inputs=Given).step("m", lambda: 1, provides="m", on_error="skip-remaining").step("u", use)
    with pytest.raises(ConfigError, match="may have no 'm'"):
        p.outputs(Done)


# What is known


def test_input_of_and_output_of_give_names_and_types() -> None:
    def make(a: int) -> Point:
        return Point(a, [])

    p = Pipeline(inputs=Given).step("make", make).step("nest", Pipeline("n").step("deep", lambda x: {"z": 1}))
    assert p.input_of("make") == {"a": int}
    assert p.output_of("make") == {"a": int, "x": int, "y": list[int]}
    assert set(p.output_of()) >= {"a", "x", "y"}
    assert p.input_of("nest/deep") == {}
    assert p.step("g", lambda: None, Pipeline("q").step("r", lambda: None)).input_of("g/1").keys() >= {"a", "x", "y"}
    assert p.step("g", lambda: None, Pipeline("q").step("r", lambda: None)).input_of("g/q/r") == {}
    with pytest.raises(KeyError, match="has no step 'other'"):
        p.input_of("other")


def test_describe_shows_the_tree() -> None:
    sub = Pipeline("sub").step("deep", lambda: None)
    p = Pipeline("root").step("nest", sub).step("group", sub, lambda: None, mode="settle")
    assert p.transform("end", lambda: {"a": 1}).describe() == (
        "root\n  nest\n    deep\n  group (settle)\n    sub\n      deep\n    2\n  end (transform)"
    )
