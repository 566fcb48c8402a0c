"""Parallel steps, nested pipelines, branches and for_each."""

from __future__ import annotations

import functools

import pytest
import trio

from trio_steps import (
    ConfigError,
    ForkPartialError,
    Fulfilled,
    KeyCollisionError,
    PathCancelledError,
    Pipeline,
    Rejected,
    Retry,
    StepInputError,
    StepTimeoutError,
    current_scope,
    fork,
    otherwise,
    step,
    when,
)


def gives(seconds, **keys):
    async def give():
        await trio.sleep(seconds)
        return keys

    return give


def fails(seconds, error):
    async def fail():
        await trio.sleep(seconds)
        raise error

    return fail


# Parallel steps


async def test_members_run_at_once_and_their_outputs_are_merged() -> None:
    assert await Pipeline().step("g", gives(2, a=1), gives(1, b=2)).run({}) == {"a": 1, "b": 2}
    assert trio.current_time() == 2


async def test_later_member_wins_whoever_ends_first() -> None:
    assert await Pipeline().step("g", gives(2, a=1), gives(1, a=2)).run({}) == {"a": 2}


async def test_policies_apply_among_outputs_then_against_the_context() -> None:
    two = (gives(1, a=1), gives(1, a=2))
    assert await Pipeline().step("g", *two, merge_policy="skip").run({}) == {"a": 1}
    assert await Pipeline().step("g", *two, merge_policy="skip").run({"a": 0}) == {"a": 0}
    with pytest.raises(KeyCollisionError) as caught:
        await Pipeline().step("g", *two, merge_policy="error").run({})
    assert caught.value.sources == ("g/give", "g/give#2")


async def test_members_do_not_see_what_others_change() -> None:
    def mutate(a):
        a.append(1)
        return {}

    async def see(a):
        await trio.sleep(1)
        return {"seen": a}

    assert await Pipeline().step("g", mutate, see).run({"a": []}) == {"a": [], "seen": []}


async def test_all_is_broken_by_one_failure_which_cancels_the_others() -> None:
    error = OSError("no")
    with pytest.raises(ForkPartialError) as caught:
        await Pipeline().step("g", fails(1, error), gives(5, a=1), gives(0.5, b=1)).run({})
    assert trio.current_time() == 1
    assert caught.value.exceptions == (error,)
    assert caught.value.step_id == "g"
    assert caught.value.succeeded == (Fulfilled("give#2", {"b": 1}),)
    assert error.__notes__ == ["in step 'g/fail'"]
    assert isinstance(caught.value.failed[1].error, PathCancelledError)


async def test_settle_merges_what_succeeded() -> None:
    p = (
        Pipeline()
        .step("g", fails(1, OSError()), gives(2, b=2), mode="settle")
        .step("n", lambda a=0, b=0: {"s": (a, b)})
    )
    assert await p.run({}) == {"b": 2, "s": (0, 2)}


async def test_race_takes_the_winner_only() -> None:
    p = Pipeline().step("g", gives(2, a=1), gives(1, b=2), fails(0, OSError()), mode="race")
    assert await p.run({}) == {"b": 2}
    assert trio.current_time() == 1


async def test_race_that_nobody_wins_raises_every_failure() -> None:
    errors = (OSError("a"), OSError("b"))
    with pytest.raises(ForkPartialError) as caught:
        await Pipeline().step("g", fails(2, errors[0]), fails(1, errors[1]), mode="race").run({})
    assert caught.value.exceptions == errors


async def test_one_function_with_a_mode_is_a_fork() -> None:
    with pytest.raises(ForkPartialError):
        await Pipeline().step("g", fails(1, OSError()), mode="all").run({})


async def test_concurrency_limits_the_members() -> None:
    p = Pipeline().step("g", gives(1, a=1), gives(1, b=1), gives(1, c=1), concurrency=2)
    assert await p.run({}) == {"a": 1, "b": 1, "c": 1}
    assert trio.current_time() == 2


async def test_timeout_of_a_settled_step_keeps_what_finished() -> None:
    assert await Pipeline().step("g", gives(1, a=1), gives(9, b=1), mode="settle", timeout=2).run({}) == {"a": 1}
    assert trio.current_time() == 2


async def test_timeout_of_an_all_fails_the_step() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await Pipeline().step("g", gives(1, a=1), gives(9, b=1), timeout=2).run({})
    [error] = caught.value.exceptions
    assert isinstance(error, StepTimeoutError)
    assert error.step == "g"


async def test_retry_runs_the_whole_step_again() -> None:
    runs = []

    async def flaky():
        runs.append("flaky")
        if len(runs) < 4:
            raise OSError
        return {"a": 1}

    p = Pipeline().step("g", lambda: runs.append("other"), flaky, retry=Retry(3, delay=1))
    assert await p.run({}) == {"a": 1}
    assert runs == ["other", "flaky", "other", "flaky"]
    assert trio.current_time() == 1


async def test_missing_key_of_a_member_is_not_retried() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await Pipeline().step("g", lambda a: None, gives(0), retry=Retry(3, delay=1)).run({})
    [error] = caught.value.exceptions
    assert isinstance(error, StepInputError)
    assert error.step == "g/1"
    assert trio.current_time() == 0


async def test_total_timeout_is_around_all_attempts() -> None:
    with pytest.raises(StepTimeoutError):
        p = Pipeline().step("g", fails(1, OSError()), gives(0), retry=Retry(9, delay=1), total_timeout=2.5)
        await p.run({})
    assert trio.current_time() == 2.5


async def test_member_with_provides_and_policies_of_its_own() -> None:
    user = step(gives(9), id="user", provides="user", timeout=1)
    p = Pipeline().step("g", user, step(gives(0, x=1), provides="x"), mode="settle")
    assert await p.run({}) == {"x": {"x": 1}}


async def test_parallel_step_that_fails_can_be_forgiven() -> None:
    p = Pipeline().step("g", fails(1, OSError()), gives(0, a=1), on_error="continue").step("n", lambda: {"n": 1})
    assert await p.run({}) == {"n": 1}


async def test_first_base_exception_leaves_the_pipeline_bare() -> None:
    with pytest.raises(KeyboardInterrupt):
        await Pipeline().step("g", fails(1, KeyboardInterrupt()), gives(2), on_error="continue").run({})


def test_parallel_keys_are_maybe_after_settle_and_race() -> None:
    def a() -> Rejected: ...

    closed = Pipeline(inputs=Rejected)
    closed.step("g", a, step(a, provides="m")).step("n", lambda m: None)
    for mode in ("settle", "race"):
        with pytest.raises(ConfigError, match="needs 'm'"):
            closed.step("g", a, step(a, provides="m"), mode=mode).step("n", lambda m: None)


# Nested pipelines


async def test_nested_pipeline_gives_a_patch() -> None:
    sub = Pipeline("sub").step("s", lambda a: {"b": a + 1, "a": a})
    p = Pipeline().step("before", lambda: {"t": 1}).step("sub", sub, merge_policy="error")
    assert await p.run({"a": 1}) == {"a": 1, "t": 1, "b": 2}


async def test_changed_key_of_a_nested_pipeline_collides() -> None:
    sub = Pipeline("sub").step("s", lambda a: {"a": a + 1})
    with pytest.raises(KeyCollisionError) as caught:
        await Pipeline().step("nest", sub, merge_policy="error").run({"a": 1})
    assert caught.value.sources == ("the input", "nest")


async def test_transform_in_a_nested_pipeline_leaves_the_keys_of_the_parent() -> None:
    sub = Pipeline("sub").transform("t", lambda a: {"b": a}).step("see", lambda ctx, /: {"seen": sorted(ctx)})
    assert await Pipeline().step(sub).run({"a": 1}) == {"a": 1, "b": 1, "seen": ["b"]}


async def test_nested_pipelines_run_in_parallel() -> None:
    one = Pipeline("one").step("s", gives(1, a=1)).step("t", gives(1, b=1))
    two = Pipeline("two").step("s", gives(2, c=1)).step("t", lambda x: {"x": x})
    assert await Pipeline().step("g", one, two).run({"x": 0}) == {"a": 1, "b": 1, "c": 1, "x": 0}
    assert trio.current_time() == 2


async def test_policies_work_on_a_nested_pipeline() -> None:
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError

    sub = Pipeline("sub").step("first", gives(1, a=1)).step(flaky)
    assert await Pipeline().step(sub, retry=Retry(3), timeout=2).run({}) == {"a": 1}
    assert trio.current_time() == 3


def test_what_a_nested_pipeline_needs_has_to_be_provided() -> None:
    sub = Pipeline("sub").step("s", lambda missing: None)
    with pytest.raises(ConfigError, match=r"^step 'nest/s' needs 'missing'"):
        Pipeline(inputs=Rejected).step("nest", sub)


# Branches


def route(**options):
    premium = Pipeline("premium").step("fetch", lambda: {"perk": current_scope().name})
    return Pipeline().branch_on(
        "route",
        when(lambda plan: plan == "premium", premium),
        when(is_trial, lambda p: p.step("nudge", lambda: {"perk": current_scope().name}), name="trial"),
        when(lambda plan: plan == "team", lambda p: p.step("t", lambda: {"perk": current_scope().name})),
        otherwise(lambda p: p.step("basic", lambda: {"perk": current_scope().name})),
        **options,
    )


async def is_trial(plan):
    await trio.sleep(1)
    return plan == "trial"


@pytest.mark.parametrize(
    ("plan", "perk", "seconds"),
    [
        ("premium", "route/premium/fetch", 0),
        ("trial", "route/trial/nudge", 1),
        ("team", "route/case-3/t", 1),
        ("free", "route/otherwise/basic", 1),
    ],
)
async def test_branch_takes_the_first_case_that_holds(plan, perk, seconds) -> None:
    assert await route().run({"plan": plan}) == {"plan": plan, "perk": perk}
    assert trio.current_time() == seconds


async def test_branch_without_a_case_does_nothing_but_can_be_cancelled() -> None:
    p = Pipeline().branch_on(when(lambda: False, lambda p: p.step("s", lambda: {"x": 1})))
    assert await p.run({}) == {}
    with trio.CancelScope() as scope:
        await p.run({}, observers=[lambda event: scope.cancel()])
    assert scope.cancelled_caught


async def test_branch_merges_under_its_policy_and_can_be_retried() -> None:
    with pytest.raises(KeyCollisionError) as caught:
        await route(merge_policy="error").run({"plan": "premium", "perk": 0})
    assert caught.value.sources == ("the input", "route/premium")
    asked = []

    def fail():
        if len(asked) < 3:
            raise OSError

    def ask():
        asked.append(1)
        return True

    await Pipeline().branch_on(when(ask, lambda p: p.step(fail)), retry=Retry(5)).run({})
    assert len(asked) == 3


async def test_condition_of_a_case_that_raises_is_handled_by_on_error() -> None:
    p = Pipeline().branch_on("b", when(lambda: 1 / 0, lambda p: p), on_error="continue").step("n", lambda: {"n": 1})
    assert await p.run({}) == {"n": 1}


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "give one case or more"),
        ([otherwise(lambda p: p), when(lambda: True, lambda p: p)], "comes last"),
        ([lambda p: p], "a case is when"),
        ([when(lambda: True, 5)], "give a pipeline, or a function of one"),
        ([when(lambda: True, lambda p: None)], "has to return the pipeline"),
        (
            [when(lambda: True, Pipeline("x")), when(lambda: True, Pipeline("y"), name="x")],
            "two cases have the name 'x'",
        ),
        ([when(lambda: True, Pipeline("x"), name="a/b")], "can't be the name of a step"),
    ],
)
def test_branch_that_makes_no_sense_is_refused(cases, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Pipeline().branch_on("b", *cases)


def test_condition_of_a_case_has_to_be_a_function() -> None:
    with pytest.raises(ConfigError, match="the condition is a function"):
        when(True, lambda p: p)


def test_branch_is_checked_where_it_is_built() -> None:
    closed = Pipeline(inputs=Rejected)
    with pytest.raises(ConfigError, match="needs 'gone'"):
        closed.branch_on("b", when(lambda gone: True, lambda p: p))
    with pytest.raises(ConfigError, match=r"^step 'b/case-1/inner' needs 'gone'") as caught:
        closed.branch_on("b", when(lambda: True, lambda p: p.step("inner", lambda gone: None)))
    assert caught.value.__notes__ == ["in the case 'b/case-1'"]
    with pytest.raises(ConfigError, match="'b/case-1/inner' needs 'gone'"):
        closed.branch_on("b", when(lambda: True, Pipeline().step("inner", lambda gone: None)))
    some = closed.branch_on("b", when(lambda: True, lambda p: p.step("s", lambda: 1, provides="m")))
    with pytest.raises(ConfigError, match="case 'case-1' is taken"):
        some.step("use", lambda m: None)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda p: p.step("s", lambda gone: None), "s"),
        (lambda p: p.step("s", Pipeline("x").step("t", lambda gone: None)), "s/t"),
        (lambda p: p.step("s", lambda: None, lambda gone: None), "s/2"),
        (lambda p: p.step("s", lambda: None, condition=lambda gone: True), "s"),
        (lambda p: p.transform("s", lambda gone: {}), "s"),
        (lambda p: p.step("s", lambda: None).step("s", lambda: None), "s"),
        (lambda p: p.step("s", dict), "s"),
        (lambda p: p.step("s", lambda: None, on_error="?"), "s"),
        (lambda p: p.step("s", lambda: None, merge_policy="?"), "s"),
        (lambda p: p.step("s", lambda: None, lambda: None, merge_policy="?"), "s"),
        (lambda p: p.step("s", lambda: None, lambda: None, mode="?"), "s"),
        (lambda p: p.step("s", lambda: None, concurrency=1), "s"),
        (lambda p: p.step("s", lambda: None, lambda: None, provides="x"), "s"),
        (lambda p: p.for_each("s", lambda x: x, over="gone", each="x", into="y"), "s"),
        (lambda p: p.for_each("s", lambda x: x, over="gone", each="x", into="y", mode="?"), "s"),
        (lambda p: p.for_each("s", lambda x: x, over="gone", each="z", into="y"), "s"),
        (lambda p: p.branch_on("s", "?"), "s"),
        (lambda p: p.branch_on("s", when(lambda gone: True, lambda p: p)), "s"),
        (lambda p: p.branch_on("s", otherwise(lambda p: p.step("t", lambda gone: None))), "s/otherwise/t"),
        (lambda p: p.branch_on("s", otherwise(Pipeline("y").step("t", lambda gone: None), name="o")), "s/o/t"),
        (
            lambda p: p.step("m", one, provides="gone", condition=lambda: True).step("s", lambda gone: None),
            "s",
        ),
    ],
)
def test_mistake_in_the_function_of_a_case_is_told_by_the_full_name(build, name) -> None:
    closed = Pipeline(inputs=Rejected)
    with pytest.raises(ConfigError, match=f"'route/premium/{name}'") as caught:
        closed.branch_on("route", when(lambda: True, build, name="premium"))
    assert len(caught.value.__notes__) == 1


def one():
    return 1


def test_source_of_a_key_in_the_function_of_a_case_is_told_by_its_full_name() -> None:
    def build(p):
        p = p.step("m", one, provides="maybe", condition=lambda: True)
        return p.branch_on("deep", otherwise(lambda p: p.step("use", lambda maybe: None)))

    with pytest.raises(ConfigError, match="step 'route/premium/m' provides it only if its condition holds") as caught:
        Pipeline(inputs=Rejected).branch_on("route", when(lambda: True, build, name="premium"))
    assert "step 'route/premium/deep/otherwise/use' needs 'maybe'" in str(caught.value)
    assert caught.value.__notes__ == ["in the case 'route/premium/deep/otherwise'"]


def test_pipeline_that_a_case_takes_from_elsewhere_has_the_names_of_the_case() -> None:
    apart = Pipeline("apart").step("s", lambda gone: None)
    with pytest.raises(ConfigError, match=r"^step 'b/otherwise/s' needs 'gone'"):
        Pipeline(inputs=Rejected).branch_on("b", otherwise(lambda p: apart))
    kept = []
    Pipeline().branch_on("b", otherwise(lambda p: (kept.append(p.step("s", lambda gone: None)), p)[1]))
    assert Pipeline().step("n", kept[0]).step_names == ("n", "n/s")


def test_same_pipeline_in_two_cases_gets_a_number() -> None:
    sub = Pipeline("sub").step("s", lambda: None)
    p = Pipeline().branch_on("b", when(lambda: True, sub), otherwise(sub))
    assert p.step_names == ("b", "b/sub/s", "b/sub#2/s")


def test_branch_shows_its_cases() -> None:
    assert route().step_names == (
        "route",
        "route/premium/fetch",
        "route/trial/nudge",
        "route/case-3/t",
        "route/otherwise/basic",
    )
    assert route().describe() == (
        "pipeline\n  route\n    premium?\n      fetch\n    trial?\n      nudge\n    case-3?\n      t\n"
        "    otherwise\n      basic"
    )


# for_each


async def double(n, by=2):
    await trio.sleep(n)
    return n * by


def each(**options):
    return Pipeline().for_each("each", double, over="ns", each="n", into="out", **options)


async def test_for_each_calls_the_function_with_every_element_at_once() -> None:
    assert await each().run({"ns": [3, 1, 2], "by": 10}) == {"ns": [3, 1, 2], "by": 10, "out": [30, 10, 20]}
    assert trio.current_time() == 3


async def test_for_each_of_a_tuple_gives_a_list_and_of_a_mapping_the_same_keys() -> None:
    assert (await each().run({"ns": (1, 2)}))["out"] == [2, 4]
    assert (await each().run({"ns": {"a": 1, 5: 2}}))["out"] == {"a": 2, 5: 4}
    assert (await each().run({"ns": []}))["out"] == []
    assert (await each().run({"ns": {}}))["out"] == {}


async def test_for_each_runs_as_many_at_once_as_it_may() -> None:
    await each(concurrency=1).run({"ns": [1, 2, 3]})
    assert trio.current_time() == 6


async def test_for_each_settles() -> None:
    async def careful(n):
        await trio.sleep(n)
        if n == 2:
            raise error
        return n

    error = OSError()
    p = Pipeline().for_each("e", careful, over="ns", each="n", into="out", mode="settle", timeout=5)
    out = (await p.run({"ns": [1, 2, 9]}))["out"]
    assert out[:2] == [Fulfilled("1", 1), Rejected("2", error)]
    assert isinstance(out[2].error, StepTimeoutError)
    assert trio.current_time() == 5


async def test_for_each_that_fails_names_the_element() -> None:
    def bad(n):
        raise OSError

    with pytest.raises(ForkPartialError) as caught:
        await Pipeline().for_each("e", bad, over="ns", each="n", into="out").run({"ns": [1]})
    assert caught.value.exceptions[0].__notes__ == ["in step 'e/1'"]


async def test_for_each_gives_copies_of_elements_and_of_results() -> None:
    kept = []

    def work(n):
        n.append(1)
        kept.append(n)
        return n

    p = Pipeline().for_each("e", work, over="ns", each="n", into="out").step("m", lambda: kept[0].append(2))
    assert await p.run({"ns": [[]]}) == {"ns": [[]], "out": [[1]]}


async def test_for_each_shares_what_is_shared() -> None:
    one = []
    p = Pipeline(share=("ns", "out")).for_each("e", lambda n: n, over="ns", each="n", into="out")
    assert (await p.run({"ns": [one]}))["out"][0] is one


async def test_for_each_over_what_is_not_there_or_no_collection_is_an_error() -> None:
    with pytest.raises(StepInputError, match=r"^'each' needs 'ns'"):
        await each().run({})
    with pytest.raises(
        TypeError, match=r"^'each' goes over 'ns', which has to hold a list, a tuple or a mapping, not 5"
    ):
        await each().run({"ns": 5})


def test_for_each_is_shown() -> None:
    assert each().describe() == "pipeline\n  each (for each n of ns)"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: p.for_each("e", over="a", each="b", into="c"), "give it one function"),
        (lambda p: p.for_each("e", lambda b: b, over="a", each="x", into="c"), "no parameter of that name"),
        (lambda p: p.for_each("e", lambda b: b, over="a", each="b", into="c", mode="race"), 'use "all" or "settle"'),
        (
            lambda p: p.step("s", lambda: 1, provides="b").for_each("e", lambda b: b, over="a", each="b", into="c"),
            "hide",
        ),
    ],
)
def test_for_each_that_makes_no_sense_is_refused(build, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Pipeline())


def look(n=1):
    return {"n": n}


class Callee:
    def __call__(self):
        return {"e": 1}


def odd():
    return {"f": 1}


odd.__name__ = "a/b"


def test_members_are_named_like_paths_of_a_fork_or_by_their_position() -> None:
    p = Pipeline().step(
        "g",
        look,
        functools.partial(look, 2),
        lambda: {"c": 1},
        step(look, id="three"),
        step(look, timeout=1),
        Callee(),
        odd,
        Pipeline().step("s", look),
        Pipeline("named").step("s", look),
        step(look, id="look#2"),
        fork("paths", mode="race", paths=[look]),
        provides_d,
    )
    assert [name.removeprefix("g/") for name in p.step_names[1:] if not name.endswith("/s")] == [
        "look",
        "look#3",  # another step was named look#2 by hand
        "3",
        "three",
        "look#4",
        "Callee",
        "7",
        "8",
        "named",
        "look#2",
        "paths",
        "provides_d",
    ]


@step(provides="d")
def provides_d(n=1):
    return n
