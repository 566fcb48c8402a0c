"""How a pipeline's steps are called, what they return, and how that is merged."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging

import attrs
import pytest
import trio
from records import Given, Point

from trio_steps import (
    ConfigError,
    KeyCollisionError,
    KeyOverridden,
    Pipeline,
    Recorder,
    Retry,
    StepInputError,
    StepOutputError,
    fork,
    step,
    when,
)

# How a step is called


async def test_pipeline_passes_keys_as_keyword_arguments_and_merges_what_steps_return() -> None:
    async def double(a):
        await trio.sleep(1)
        return {"b": a * 2}

    result = await Pipeline("p").step("double", double).step("sum", lambda a, b: {"c": a + b}).run({"a": 1})
    assert result == {"a": 1, "b": 2, "c": 3}
    assert type(result) is dict
    assert trio.current_time() == 1


async def test_pipeline_can_be_called_like_any_step() -> None:
    assert await Pipeline("p").step(lambda a: {"b": a})({"a": 1}) == {"a": 1, "b": 1}


async def test_pipeline_without_input_begins_with_nothing() -> None:
    assert await Pipeline().step(lambda: {"a": 1}).run() == {"a": 1}
    assert await Pipeline().step(lambda: {"a": 1})(None) == {"a": 1}


async def test_pipeline_without_steps_returns_its_input() -> None:
    assert await Pipeline().run({"a": 1}) == {"a": 1}


async def test_parameter_with_a_default_may_be_missing() -> None:
    p = Pipeline().step("s", lambda a=5: {"b": a})
    assert await p.run({}) == {"b": 5}
    assert await p.run({"a": 1}) == {"a": 1, "b": 1}


async def test_rest_gets_every_other_key() -> None:
    p = Pipeline().step("s", lambda a, **rest: {"seen": rest})
    assert (await p.run({"a": 1, "b": 2, "not an identifier": 3}))["seen"] == {"b": 2, "not an identifier": 3}


async def test_one_positional_only_parameter_gets_the_whole_context() -> None:
    p = Pipeline().step("s", lambda ctx, /: {"seen": dict(ctx), "type": type(ctx).__name__})
    assert await p.run({"a": 1}) == {"a": 1, "seen": {"a": 1}, "type": "Context"}


async def test_whole_context_that_a_step_keeps_does_not_change() -> None:
    kept = []
    p = Pipeline().step("keep", lambda ctx, /: kept.append(ctx)).step("later", lambda: {"a": 2})
    await p.run({"a": 1})
    assert dict(kept[0]) == {"a": 1}


async def test_bound_arguments_stay_bound() -> None:
    def fetch(a, retries):
        return {"b": (a, retries)}

    p = Pipeline().step(functools.partial(fetch, retries=3))
    assert (await p.run({"a": 1, "retries": 100}))["b"] == (1, 3)
    assert p.step_names == ("fetch",)


async def test_methods_and_callable_objects_are_steps() -> None:
    class Tool:
        async def __call__(self, a):
            return {"b": a}

        def method(self, b):
            return {"c": b}

    assert await Pipeline().step("x", Tool()).step(Tool().method).run({"a": 1}) == {"a": 1, "b": 1, "c": 1}


async def test_step_object_is_called_through_the_function_it_wraps_under_its_own_policies() -> None:
    tries = []

    @step(retry=Retry(3))
    async def flaky(a):
        tries.append(a)
        if len(tries) < 3:
            raise OSError
        return {"b": a}

    assert await Pipeline().step(flaky).run({"a": 1}) == {"a": 1, "b": 1}
    assert tries == [1, 1, 1]


async def test_fork_as_a_step_calls_its_functions_with_keys() -> None:
    async def pro(a):
        return a

    @step(timeout=5)
    async def con(b):
        return b

    inner = fork("inner", mode="all", paths=[pro, Pipeline("whole").step(lambda: {"z": 0})])
    views = fork("views", mode="all", paths=[pro, con, inner, lambda ctx, /: dict(ctx)])
    p = Pipeline().step("views", views, provides="views")
    assert (await p.run({"a": 1, "b": 2}))["views"] == (1, 2, (1, {"a": 1, "b": 2, "z": 0}), {"a": 1, "b": 2})


def test_fork_as_a_step_needs_what_its_functions_need() -> None:
    inner = fork("inner", mode="all", paths=[lambda missing: missing])
    views = fork("views", mode="all", paths=[inner])
    with pytest.raises(ConfigError, match=r"'views/inner/<lambda>' needs 'missing'"):
        Pipeline(inputs=Given).step("views", views, provides="views")


async def test_step_with_a_missing_key_names_step_key_and_what_there_is() -> None:
    p = Pipeline().step("first", lambda: None).step("use", lambda a: None)
    with pytest.raises(StepInputError) as caught:
        await p.run({"b": 1})
    assert (caught.value.step, caught.value.key, caught.value.available) == ("use", "a", ("b",))
    assert caught.value.__notes__ == ["in step 'use'"]


async def test_missing_key_is_told_with_a_close_match_if_there_is_one() -> None:
    with pytest.raises(StepInputError) as caught:
        await Pipeline().step("use", lambda user_id: None).run({"userid": 1, "b": 2})
    assert str(caught.value) == (
        "'use' needs 'user_id', which the context does not have (did you mean 'userid'?); it has 'userid', 'b'. "
        "A parameter with a default may be missing"
    )


async def test_missing_key_is_told_of_an_empty_context() -> None:
    with pytest.raises(StepInputError, match=r"does not have; the context is empty\. A parameter with"):
        await Pipeline().step("use", lambda user_id: None).run()


async def test_missing_key_that_is_meant_to_be_the_context_is_told_the_right_form() -> None:
    p = Pipeline("p").step("use", lambda ctx: None)
    with pytest.raises(StepInputError, match=r"The whole context goes to a positional-only .*: lambda ctx, /: …"):
        await p.run({"user_id": 1})

    def typed() -> Given:
        return {"a": 1}

    with pytest.raises(ConfigError, match=r"the whole context goes to a positional-only .*: lambda ctx, /: …$"):
        Pipeline("p").transform("t", typed).step("use", lambda ctx: None)


def test_option_that_there_is_not_is_told_with_a_close_match_if_there_is_one() -> None:
    with pytest.raises(
        TypeError, match=r"^step 'a' got an unexpected keyword argument 'retries'; did you mean 'retry'\?"
    ):
        Pipeline("p").step("a", dict, retries=3)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'provide'; did you mean 'provides'\?$"):
        Pipeline("p").step("a", dict, provide="a")
    with pytest.raises(TypeError, match=r"'colour'; it takes 'condition', 'on_error', 'timeout', 'total_timeout', "):
        Pipeline("p").transform("a", dict, colour="red")


@pytest.mark.parametrize("kind", [dict, attrs.make_class("Page", ["page"])])
async def test_coroutine_that_is_returned_under_a_key_is_refused(kind) -> None:
    """Nothing would await it: functions that are given it have no reason to. It is closed, and not reported again."""

    async def fetch():
        return "page"

    coroutine = fetch()
    with pytest.raises(StepOutputError, match=r"^'a' returned under 'page' a coroutine .*: write await fetch\(…\), "):
        await Pipeline("p").step("a", lambda: kind(page=coroutine)).run()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_case_that_is_a_function_of_a_step_is_refused_with_the_right_form() -> None:
    async def post(p):
        return {}

    with pytest.raises(ConfigError, match=r"the case 'case-1' is an async function; .*, lambda p: p\.step\(post\)$"):
        Pipeline("p").branch_on("route", when(lambda: True, post))
    with pytest.raises(
        ConfigError, match=r"returns {}; it has to return the pipeline, .* lambda p: p\.step\(function\)$"
    ):
        Pipeline("p").branch_on("route", when(lambda: True, lambda p: {}))


async def test_missing_key_is_never_retried() -> None:
    events = Recorder()
    p = Pipeline().step("use", lambda a: None, retry=Retry(3, delay=10))
    with pytest.raises(StepInputError):
        await p.run({}, observers=[events])
    assert trio.current_time() == 0


@dataclasses.dataclass
class Size:
    w: int


async def test_attrs_and_dataclass_instances_give_their_fields() -> None:
    p = Pipeline().step("a", lambda: Point(1, [2])).step("b", lambda: Size(3))
    assert await p.run({}) == {"x": 1, "y": [2], "w": 3}


async def test_none_adds_nothing() -> None:
    assert await Pipeline().step("a", lambda: None).run({"a": 1}) == {"a": 1}


async def test_provides_stores_whatever_is_returned() -> None:
    p = Pipeline().step("a", lambda: [1], provides="x").step("b", lambda: None, provides="y")
    p = p.step("c", step(lambda: 5, id="five", provides="z"))
    assert await p.run({}) == {"x": [1], "y": None, "z": 5}


@pytest.mark.parametrize("result", [5, "text", [("a", 1)], {1: 2}])
async def test_other_results_are_errors_that_name_the_step(result) -> None:
    with pytest.raises(StepOutputError, match=r"^'bad' returned "):
        await Pipeline().step("bad", lambda: result).run({})


async def test_keys_that_are_no_exact_strings_are_made_so() -> None:
    class Name(str):
        __slots__ = ()

    result = await Pipeline().step("a", lambda: {Name("x"): 1}).run({})
    assert [type(key) for key in result] == [str]


async def test_input_can_be_an_instance_and_has_to_have_keys() -> None:
    assert await Pipeline(inputs=Point).step("s", lambda x: {"z": x}).run(Point(1, [])) == {"x": 1, "y": [], "z": 1}
    with pytest.raises(TypeError, match=r"^pipeline 'p' takes a mapping with str keys.*, not 5 \(of type int\)$"):
        await Pipeline("p").run(5)


async def test_outputs_makes_the_result_an_instance_of_a_class() -> None:
    @attrs.frozen
    class Done:
        _a: int
        made: int = attrs.field(init=False, default=7)

    p = Pipeline().step("s", lambda: {"_a": 1, "b": 2, "made": 0})
    done = await p.outputs(Done).run({})
    assert (type(done), done._a, done.made) == (Done, 1, 7)
    assert await p.step("w", lambda: {"w": 3}).outputs(Size).run({}) == Size(3)
    assert await Pipeline(inputs=Given).outputs(Given).run({"a": 1}) == {"a": 1}


# Isolation


async def test_functions_get_copies_and_what_they_return_is_copied() -> None:
    kept = []

    def mutate(a):
        a.append("mine")
        out = {"b": [1]}
        kept.append(out["b"])
        return out

    def later(b):
        kept[0].append("late")
        return {"seen": list(b)}

    given = {"a": ["given"]}
    result = await Pipeline().step(mutate).step(later).run(given)
    assert result == {"a": ["given"], "b": [1], "seen": [1]}
    assert given == {"a": ["given"]}
    result["a"].append("caller")
    assert given == {"a": ["given"]}


async def test_shared_keys_are_not_copied() -> None:
    image = [1]

    def see(image, **rest):
        return {"same": image is given["image"], "rest": rest["other"] is given["other"]}

    given = {"image": image, "other": [2]}
    p = Pipeline(share=("image",)).step(see).step("again", lambda image: {"image": image})
    result = await p.run(given, on_step_complete=lambda event: None)
    assert (result["same"], result["rest"], result["image"] is image) == (True, False, True)
    assert (await Pipeline(share=("x",)).step("a", lambda: image, provides="x").run({}))["x"] is image


async def test_shared_keys_are_shared_with_everything_nested() -> None:
    inner = Pipeline("inner").step("see", lambda image, it=(): {"image": image})
    deep = (
        Pipeline("deep")
        .step("group", inner, lambda image: {"one": image is given})
        .branch_on(
            "b", when(lambda image: image is given, Pipeline("b").step("s", lambda image: {"two": image is given}))
        )
        .for_each("e", lambda i, image: image is given, over="is", each="i", into="three")
        .step("c", lambda: {"four": 1}, condition=lambda image: image is given)
    )
    given = [1]
    result = await Pipeline(share=("image",)).step("nest", deep).run({"image": given, "is": [0]})
    assert result == {"image": [1], "is": [0], "one": True, "two": True, "three": [True], "four": 1}
    assert result["image"] is given


# Merge policies


def again(policy):
    return Pipeline().step("one", lambda: {"a": 1}).step("two", lambda: {"a": 2}, merge_policy=policy)


async def test_merge_override_keeps_the_later_value() -> None:
    assert await again("override").run({}) == {"a": 2}


async def test_merge_skip_keeps_the_first_value() -> None:
    assert await again("skip").run({}) == {"a": 1}


async def test_merge_error_names_key_step_and_both_sources() -> None:
    with pytest.raises(KeyCollisionError) as caught:
        await again("error").run({})
    error = caught.value
    assert (error.key, error.step, error.sources) == ("a", "two", ("one", "two"))


async def test_merge_warn_overrides_and_tells_observers_and_log(caplog) -> None:
    events = []
    assert await again("warn").run({}, observers=[events.append]) == {"a": 2}
    [event] = [event for event in events if isinstance(event, KeyOverridden)]
    assert (event.name, event.key, event.first, event.second) == ("two", "a", "one", "two")
    assert caplog.record_tuples == [("trio_steps", logging.WARNING, "two: the key 'a' of 'two' replaces that of 'one'")]


async def test_merge_is_whole_or_not_at_all() -> None:
    p = Pipeline().step("s", lambda: {"new": 1, "a": 2}, merge_policy="error", on_error="continue")
    assert await p.run({"a": 1}) == {"a": 1}


# Transform


async def test_transform_replaces_the_context() -> None:
    p = Pipeline().step("s", lambda: {"b": 2}).transform("t", lambda b: {"c": b})
    assert await p.run({"a": 1}) == {"c": 2}


async def test_transform_that_returns_none_is_an_error_that_explains() -> None:
    with pytest.raises(StepOutputError, match=r"^'t' returned None, but what a transform returns replaces"):
        await Pipeline().transform("t", lambda: None).run({})


async def test_transform_with_provides_holds_one_key() -> None:
    assert await Pipeline().transform(step(lambda: None, id="t", provides="x")).run({"a": 1}) == {"x": None}


async def test_transform_under_a_condition_that_fails_leaves_the_context() -> None:
    assert await Pipeline().transform("t", lambda: {"b": 1}, condition=False).run({"a": 1}) == {"a": 1}


# Conditions


async def test_condition_is_a_bool_or_a_sync_or_async_function() -> None:
    async def later(a):
        await trio.sleep(1)
        return a == 2

    p = (
        Pipeline()
        .step("one", lambda: {"x": 1}, condition=False)
        .step("two", lambda: {"y": 1}, condition=True)
        .step("three", lambda: {"z": 1}, condition=lambda a: a == 1)
        .step("four", lambda: {"w": 1}, condition=later)
    )
    assert await p.run({"a": 1}) == {"a": 1, "y": 1, "z": 1}
    assert await p.run({"a": 2}) == {"a": 2, "y": 1, "w": 1}


async def test_skipped_step_is_reported() -> None:
    events = []
    await Pipeline().step("one", lambda: None, condition=False).run({}, observers=[events.append])
    assert [(type(e).__name__, e.name) for e in events] == [
        ("StepStarted", "pipeline"),
        ("StepSkipped", "one"),
        ("StepSucceeded", "pipeline"),
    ]
    assert events[1].reason == "its condition does not hold"


async def test_condition_gets_a_copy() -> None:
    p = Pipeline().step("s", lambda: None, condition=lambda a: a.append(1) or True)
    assert await p.run({"a": []}) == {"a": []}


async def test_condition_that_raises_is_handled_by_on_error() -> None:
    def bad():
        raise ZeroDivisionError

    p = Pipeline().step("s", lambda: {"x": 1}, condition=bad, on_error="continue").step("t", lambda: {"y": 1})
    events = []
    assert await p.run({}, observers=[events.append]) == {"y": 1}
    assert [type(e).__name__ for e in events[1:3]] == ["StepStarted", "StepFailed"]
    with pytest.raises(ZeroDivisionError) as caught:
        await Pipeline().step("s", lambda: None, condition=bad).run({})
    assert caught.value.__notes__ == ["in step 's'"]
