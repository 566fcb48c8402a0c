"""No step changes what another sees, whatever it does with the values that it was given or returned."""

from __future__ import annotations

from copy import deepcopy

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_steps import Pipeline, otherwise, when

values = st.recursive(
    st.integers(0, 9) | st.text("ab", max_size=2) | st.binary(max_size=2).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.integers(0, 9), max_size=3)
    ),
    max_leaves=8,
)


def spoil(value):
    """Change every container in `value` that can be changed."""
    if isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")
    elif isinstance(value, dict):
        for inner in value.values():
            spoil(inner)
        value["spoilt"] = True
    elif isinstance(value, set):
        value.add("spoilt")
    elif isinstance(value, bytearray):
        value.extend(b"spoilt")
    elif isinstance(value, tuple):
        for inner in value:
            spoil(inner)


@given(st.fixed_dictionaries({"a": values, "b": values}), values)
@settings(max_examples=50)
def test_nobody_ever_sees_what_a_step_does_to_its_arguments_and_results(inputs, made) -> None:
    clean, made_clean = deepcopy(inputs), deepcopy(made)
    kept = []
    wrong = []

    def check(context):
        for key, value in context.items():
            expected = clean.get(key, made_clean)
            if key in ("each", "ns"):
                expected = [made_clean]
            if value != expected:
                wrong.append((key, value, expected))

    def spoiler(**everything):
        check(everything)
        for value in everything.values():
            spoil(value)
        for value in kept:
            spoil(value)
        fresh = deepcopy(made_clean)
        kept.append(fresh)
        return fresh

    async def later(ctx, /):
        await trio.sleep(1)
        check(ctx)
        for value in ctx.values():
            spoil(value)
        return {"made": spoiler(), "ns": [deepcopy(made_clean)]}

    def condition(a, b, made=made_clean):
        check({"a": a, "b": b, "made": made})
        spoil([a, b])
        return True

    def element(n, a, b):
        check({"a": a, "b": b, "made": n})
        spoil([n, a, b])
        return spoiler()

    def finish(ctx, /):
        check(ctx)
        return dict(ctx)

    def hook(event):
        check(event.context)
        for value in event.context.values():
            spoil(value)
        checkpoints.append(event.checkpoint)

    checkpoints = []
    sub = Pipeline("sub").step("s", spoiler, provides="made", condition=condition).step("t", later)
    pipeline = (
        Pipeline()
        .step("first", spoiler, provides="made", condition=condition)
        .step("group", sub, later, sub, mode="settle")
        .branch_on("branch", when(condition, sub), otherwise(sub))
        .step("ns", lambda: {"ns": [deepcopy(made_clean)]})
        .for_each("each", element, over="ns", each="n", into="each")
        .transform("end", finish)
    )

    async def main():
        result = await pipeline.run(inputs, on_step_complete=hook)
        check(result)
        for value in result.values():
            spoil(value)
        for checkpoint in checkpoints:
            again = await pipeline.resume(checkpoint)
            check(again)
            for value in again.values():
                spoil(value)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert wrong == []
    assert inputs == clean
