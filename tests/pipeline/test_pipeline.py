"""Sequential steps: how they are called, named, merged, skipped and forgiven."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
from typing import TypedDict

import attrs
import pytest
import trio

from trio_steps import (
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    KeyCollisionError,
    KeyOverridden,
    Pipeline,
    Recorder,
    Retry,
    StepInputError,
    StepOutputError,
    StepSkipped,
    StepTimeoutError,
    current_scope,
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
        "'use' needs 'user_id', which the context does not have (did you mean 'userid'?); there is 'userid', 'b'. "
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
    with pytest.raises(TypeError, match=r"'colour'; it takes 'condition', 'on_error', 'timeout', 'total_timeout', "):
        Pipeline("p").transform("a", dict, colour="red")


@pytest.mark.parametrize("kind", [dict, attrs.make_class("Page", ["page"])])
async def test_coroutine_that_is_returned_under_a_key_is_refused(kind) -> None:
    """Nobody would await it, for functions that are given it have no reason to; it is closed, not reported again."""

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


# What a step returns


@attrs.frozen
class Point:
    x: int
    y: list[int]


@dataclasses.dataclass
class Size:
    w: int


class Given(TypedDict):
    a: int


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


# Errors


def fails(error):
    def fail():
        raise error

    return fail


async def test_error_comes_out_as_it_is_with_the_name_of_its_step() -> None:
    error = OSError("no")
    with pytest.raises(OSError, match="no") as caught:
        await Pipeline("root").step("bad", fails(error)).run({})
    assert caught.value is error
    assert error.__notes__ == ["in step 'bad'"]


async def test_on_error_continue_goes_on_without_the_output() -> None:
    p = Pipeline().step("bad", fails(OSError()), on_error="continue").step("next", lambda: {"x": 1})
    assert await p.run({}) == {"x": 1}


async def test_on_error_skip_remaining_ends_the_innermost_pipeline() -> None:
    inner = Pipeline("inner").step("a", lambda: {"a": 1}).step("bad", fails(OSError()), on_error="skip-remaining")
    inner = inner.step("never", lambda: {"never": 1})
    assert await Pipeline().step(inner).step("next", lambda: {"x": 1}).run({}) == {"a": 1, "x": 1}
    assert await inner.run({}) == {"a": 1}


async def test_cancellation_is_never_an_error() -> None:
    after = []
    p = Pipeline().step("slow", trio.sleep_forever, on_error="continue").step("next", lambda: after.append(1))
    with trio.move_on_after(1) as scope:
        await p.run({})
    assert scope.cancelled_caught
    assert after == []


async def test_group_that_mixes_a_cancellation_with_an_error_is_not_forgiven() -> None:
    """Trio takes the cancellation out at its scope; the error goes on."""

    async def mixed():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise error

    error = OSError("too")
    with pytest.raises(BaseExceptionGroup) as caught, trio.move_on_after(1):
        await Pipeline().step("mixed", mixed, on_error="continue").run({})
    assert caught.value.exceptions == (error,)


# Sync steps and cancellation


async def test_sync_step_is_followed_by_a_checkpoint() -> None:
    ran = []
    p = Pipeline()
    for number in range(5):
        p = p.step(f"s{number}", functools.partial(lambda number: ran.append(number), number))
    with trio.CancelScope() as scope:
        await p.step("x", lambda: None).run({}, observers=[lambda e: e.name == "s2" and scope.cancel()])
    assert ran == [0, 1, 2]


async def test_pipeline_of_sync_steps_lets_others_run_between_any_two() -> None:
    order = []

    async def other():
        for _ in range(2):
            await trio.lowlevel.checkpoint()
            order.append("other")

    p = Pipeline().step("a", lambda: order.append("a")).step("b", lambda: order.append("b"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await p.run({})
    assert order.index("a") < order.index("other") < len(order) - 1


async def test_run_in_a_cancelled_scope_does_nothing() -> None:
    ran = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await Pipeline().step("s", lambda: ran.append(1)).run({})
    assert ran == []


# Policies


async def test_step_timeout_stops_the_step_and_retry_gives_each_attempt_fresh_copies() -> None:
    seen = []

    async def slow(a):
        seen.append(list(a))
        a.append(1)
        await trio.sleep(2 if len(seen) < 3 else 0.5)
        return {"b": a}

    p = Pipeline().step("slow", slow, timeout=1, retry=Retry(3, delay=10))
    assert await p.run({"a": []}) == {"a": [], "b": [1]}
    assert seen == [[], [], []]
    assert trio.current_time() == 1 + 10 + 1 + 10 + 0.5


async def test_step_timeout_names_the_step() -> None:
    with pytest.raises(StepTimeoutError, match=r"^'slow' timed out after 1 s"):
        await Pipeline().step("slow", trio.sleep_forever, timeout=1).run({})


async def test_sync_step_that_fails_and_is_forgiven_is_followed_by_a_checkpoint_too() -> None:
    def fail():
        scope.cancel()
        raise OSError

    ran = []
    with trio.CancelScope() as scope:
        await Pipeline().step("a", fail, on_error="continue").step("b", lambda: ran.append("b")).run({})
    assert scope.cancelled_caught
    assert ran == []


async def test_sync_step_with_policies_is_followed_by_a_checkpoint_too() -> None:
    p = Pipeline().step("a", lambda: None, timeout=1).step("b", lambda: {"x": 1})
    with trio.CancelScope() as scope:
        await p.run({}, observers=[lambda e: scope.cancel() if e.name == "a" else None])
    assert scope.cancelled_caught


async def test_breaker_that_skips_skips_the_step() -> None:
    breaker = CircuitBreaker(1, cooldown=5, on_open="skip")
    p = Pipeline().step("bad", fails(OSError()), circuit_breaker=breaker, on_error="continue")
    events = []
    assert await p.run({}) == {}
    assert await p.run({}, observers=[events.append]) == {}
    [skipped] = [event for event in events if isinstance(event, StepSkipped)]
    assert skipped.reason == "circuit breaker of 'bad' is open; next probe in 5 s"


async def test_breaker_that_raises_fails_the_step() -> None:
    breaker = CircuitBreaker(1, cooldown=5)
    p = Pipeline().step("bad", fails(OSError()), circuit_breaker=breaker)
    for error in (OSError, CircuitOpenError):
        with pytest.raises(error):
            await p.run({})


# Names and scopes


async def test_full_names_leave_out_the_root_and_the_name_of_a_single_nested_pipeline() -> None:
    names = []

    def see():
        names.append(current_scope().name)

    inner = Pipeline("inner").step("see", see)
    p = Pipeline("root").step("top", see).step("nest", inner).step("group", inner, see)
    await p.run({})
    assert names[:2] == ["top", "nest/see"]
    assert sorted(names[2:]) == ["group/2", "group/inner/see"]
    assert p.step_names == ("top", "nest", "nest/see", "group", "group/inner", "group/inner/see", "group/2")


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
    with pytest.raises(ConfigError, match="is no name of a step"):
        Pipeline().step(name, lambda: None)
    with pytest.raises(ConfigError, match="is no name of a step"):
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
        (lambda p: p.step("s", dict), "does not tell which keys"),
        (lambda p: p.step("s", print, print), "does not tell which keys|mode"),
        (lambda p: p.step("s", lambda: None, mode="quorum"), 'use "all", "settle" or "race"'),
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
        """Need it."""

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
