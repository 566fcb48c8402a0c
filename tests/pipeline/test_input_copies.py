"""When the values of an input are copied: when a step names them, and not before."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

import pytest
import trio

from trio_steps import Pipeline, Retry, StepInputError, fork, otherwise, when


class Name(str, Enum):  # noqa: UP042 - its hash is not that of the string
    X = "x"


def inputs():
    return {"named": [1], "other": [[2]]}


async def test_value_that_no_step_names_is_in_the_result_as_the_caller_gave_it() -> None:
    given = inputs()
    result = await Pipeline("p").step("a", lambda named: {"a": named}).run(given)
    assert result["other"] is given["other"]
    assert result["named"] is not given["named"]
    assert result == {"named": [1], "other": [[2]], "a": [1]}
    assert result is not given


async def test_step_that_changes_what_it_names_changes_nothing_for_the_caller_or_later_steps() -> None:
    given = inputs()
    p = Pipeline("p").step("a", lambda named: named.append("a")).step("b", lambda named: {"seen": named})
    assert (await p.run(given))["seen"] == [1]
    assert given == inputs()


async def test_run_has_its_own_copy_from_when_a_step_first_names_the_value() -> None:
    given = inputs()

    async def change(named):
        given["named"].append("late")
        given["other"].append("in time")

    p = Pipeline("p").step("change", change).step("see", lambda named, other: {"seen": (named, other)})
    assert (await p.run(given))["seen"] == ([1], [[2], "in time"])


async def test_input_of_a_run_that_is_recorded_is_copied_at_the_start() -> None:
    given = inputs()

    async def change():
        given["other"].append("late")

    for p, options in (
        (Pipeline("p").step("change", change), {"on_step_complete": lambda event: None}),
        (Pipeline("p").step("i", Pipeline("i", on_step_complete=lambda event: None).step("change", change)), {}),
    ):
        result = await p.run(given, **options)
        assert result["other"] is not given["other"]
        assert "late" not in result["other"]
        given = inputs()


async def test_observers_and_error_hooks_do_not_record() -> None:
    given = inputs()
    p = Pipeline("p").step("a", lambda: {"a": 1})
    result = await p.run(given, observers=[lambda event: None], on_error=lambda name, error: None)
    assert result["other"] is given["other"]


async def test_whole_context_and_rest_are_copies() -> None:
    given = inputs()

    def whole(context, /):
        context["named"].append("whole")

    def rest(**keys):
        keys["other"].append("rest")

    result = await Pipeline("p").step("whole", whole).step("rest", rest).run(given)
    assert given == inputs()
    assert result == inputs()
    assert result["named"] is not given["named"]


async def test_values_are_copied_for_conditions_branches_elements_forks_and_pipelines_inside() -> None:
    given = {"xs": [[1], [2]], "c": [0], "w": [0], "f": [0], "n": [0], "untouched": []}

    def change(key):
        return lambda **keys: keys[key].append("changed")

    def condition(c):
        c.append("changed")
        return True

    def deep(n):
        n.append("changed")

    p = (
        Pipeline("p")
        .step("condition", lambda: None, condition=condition)
        .branch_on("route", when(lambda w: w.append("changed"), Pipeline("no")), otherwise(lambda q: q))
        .for_each("each", lambda x: x.append("changed"), over="xs", each="x", into="ys")
        .step("fork", fork("f", mode="all", paths=[lambda f: f.append("changed")]), provides="forked")
        .step("nested", Pipeline("i").step("deep", deep))
    )
    result = await p.run(given)
    assert given == {"xs": [[1], [2]], "c": [0], "w": [0], "f": [0], "n": [0], "untouched": []}
    assert {key: result[key] for key in given} == given
    assert result["untouched"] is given["untouched"]


async def test_key_that_a_step_overrides_is_its_own() -> None:
    given = inputs()
    p = Pipeline("p").step("a", lambda: {"other": [3]}).step("b", lambda other: {"seen": other})
    result = await p.run(given)
    assert (result["other"], result["seen"]) == ([3], [3])
    assert result["other"] is not result["seen"]
    assert given == inputs()


async def test_transform_leaves_nothing_of_the_caller() -> None:
    given = inputs()
    result = await Pipeline("p").transform("t", lambda other: {"other": other}).run(given)
    assert result == {"other": [[2]]}
    assert result["other"] is not given["other"]


async def test_context_that_a_step_keeps_shows_the_moment() -> None:
    given, kept = inputs(), []

    def keep(context, /):
        kept.append(context)

    p = Pipeline("p").step("keep", keep).step("more", lambda: {"more": 1, "named": "new"})
    await p.run(given)
    assert dict(kept[0]) == inputs()
    assert kept[0]["other"] is not given["other"]


@pytest.mark.parametrize("given", [{"a": 1}, {"a": 1, "deep": [1]}], ids=["flat", "deep"])
@pytest.mark.parametrize("kept_at", [0, 1, 2])
async def test_result_is_a_dict_of_its_own_whatever_steps_have_kept(given, kept_at) -> None:
    """A context that a step has kept shows that moment, whatever the caller does to the result."""
    kept = []

    def keep(context, /):
        kept.append((context, dict(context)))

    p = Pipeline("p")
    for number in range(3):
        if number == kept_at:
            p = p.step("keep", keep)
        if number < 2:
            p = p.step(f"set-{number}", lambda number=number: {"a": f"set {number}", f"new {number}": 1})
    result = await p.run(given)
    assert list(result) == [*given, "new 0", "new 1"]
    result.clear()
    result["a"] = "changed"
    [(context, moment)] = kept
    assert dict(context) == moment
    assert moment["a"] == [1, "set 0", "set 1"][kept_at]
    assert given["a"] == 1


async def test_context_shows_what_nobody_has_looked_up_in_the_order_of_the_input() -> None:
    seen = []

    def look(context, /):
        context["other"].append("looked up")
        seen.append((list(context), len(context), "named" in context, "other" in context, "missing" in context))

    p = Pipeline("p").step("set", lambda other: {"new": 1}).step("look", look).step("again", look)
    result = await p.run(inputs())
    assert seen == [(["named", "other", "new"], 3, True, True, False)] * 2
    assert list(result) == ["named", "other", "new"]


async def test_key_that_is_not_there_is_refused_with_all_that_are() -> None:
    p = Pipeline("p").step("a", lambda other: {"new": 1}).step("b", lambda missing: None)
    with pytest.raises(StepInputError) as raised:
        await p.run(inputs())
    assert (raised.value.key, raised.value.available) == ("missing", ("named", "other", "new"))


async def test_shared_keys_are_never_copied() -> None:
    given, seen = inputs(), []
    p = Pipeline("p", share=("named",)).step("a", lambda named, other: seen.extend((named, other)))
    await p.run(given)
    assert seen[0] is given["named"]
    assert seen[1] is not given["other"]


async def test_results_for_elements_share_nothing_and_the_rest_is_the_callers() -> None:
    given = {"xs": [1, 2], "tags": ["t"], "untouched": []}
    inner = Pipeline("i").step("s", lambda x, tags: {"s": (x, tags)})
    result = await Pipeline("p").for_each("each", inner, over="xs", each="x", into="ys").run(given)
    assert result["ys"][0]["tags"] is not result["tags"]
    assert result["ys"][0]["tags"] is not given["tags"]
    assert result["ys"][0] == {"xs": [1, 2], "tags": ["t"], "untouched": [], "x": 1, "s": (1, ["t"])}


async def test_retried_attempt_gets_fresh_copies() -> None:
    given, seen = inputs(), []

    def flaky(named):
        named.append("x")
        seen.append(list(named))
        if len(seen) < 3:
            raise OSError

    await Pipeline("p").step("flaky", flaky, retry=Retry(3)).run(given)
    assert seen == [[1, "x"]] * 3


async def test_pipeline_as_a_path_of_a_fork_leaves_its_input_alone() -> None:
    given = inputs()
    first = Pipeline("one").step("a", lambda named: named.append("a"))
    second = Pipeline("two").step("b", lambda named: {"seen": named})
    _, result = await fork("f", mode="all", paths=[first, second])(given)
    assert result["seen"] == [1]
    assert given == inputs()


@pytest.mark.parametrize("kind", [MappingProxyType, dict], ids=["proxy", "dict"])
async def test_names_of_other_mappings_become_exact_strings(kind) -> None:
    value = [1]
    result = await Pipeline("p").step("a", lambda: None).run(kind({Name.X: value}))
    assert [type(key) for key in result] == [str]
    assert result["x"] is value
    await trio.lowlevel.checkpoint()


async def test_input_that_is_no_mapping_of_names_is_refused() -> None:
    for wrong in ({1: 2}, [1], 5):
        with pytest.raises(TypeError, match="pipeline 'p' takes a mapping with str keys"):
            await Pipeline("p").step("a", lambda: None).run(wrong)
