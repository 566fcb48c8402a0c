"""Any pipeline, resumed from any of its checkpoints, returns the result of the original run."""

from __future__ import annotations

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from resumable import fails, gives, ran

from trio_steps import (
    Checkpoint,
    Fulfilled,
    Pipeline,
    Rejected,
    Retry,
    current_scope,
    otherwise,
    when,
)

# Resume equals run

answered: list[tuple[str, str]] = []
"""The conditions that have been answered: which condition, and the full name of its step."""
asked: list[tuple[str, str]] = []


def asks(which, answer, seconds):
    """A condition that takes `seconds` to answer."""

    async def ask():
        condition = (which, current_scope().name)
        asked.append(condition)
        await trio.sleep(seconds)
        answered.append(condition)
        return answer

    return ask


def fails_once(**keys):
    """A step that succeeds at the second attempt of its pipeline, which runs all its steps again."""
    failed = set()

    def attempt():
        name = current_scope().name
        ran.append(name)
        if name not in failed:
            failed.add(name)
            inside = name.removesuffix("again")
            answered[:] = [condition for condition in answered if not condition[1].startswith(inside)]
            raise OSError
        return keys

    return attempt


def noted(keys):
    def transform():
        ran.append(current_scope().name)
        return {**keys, "t": 1}

    return transform


async def gives_twice(n):
    ran.append(current_scope().name)
    await trio.sleep(n)
    if n == 2:
        raise OSError(n)
    return n


@st.composite
def pipelines(draw, depth=0, in_race=False, tie_breaker=0.0):
    """A random pipeline, delayed by `tie_breaker` seconds so that it does not end at the same time as its siblings.

    In a race every step has to take as long when it is resumed, so none of the steps that fail once is in one.
    """
    p = Pipeline("root" if depth == 0 else f"p{draw(st.integers(0, 10**6))}")
    if tie_breaker:
        p = p.step("late", gives(tie_breaker))
    leaves = ["step", "step", "last", "transform"]
    kinds = [
        *leaves,
        "bad",
        "nest",
        "nest" if in_race else "again",
        "group",
        "settle",
        "race",
        "branch",
        "each",
        "each-settle",
        "each-nest",
    ]
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(leaves if depth == 2 else kinds))
        name = f"{kind}{number}"
        seconds = draw(st.integers(0, 3)) * 8 + depth * 3 + number
        keys = {draw(st.sampled_from("abcd")): (depth, number, draw(st.integers(0, 1)))}
        common = {"condition": draw(st.sampled_from([None, None, asks("if", True, 5), asks("if", False, 5)]))}
        merging = {**common, "merge_policy": draw(st.sampled_from(["override", "skip"]))}
        some = pipelines(depth + 1, in_race)
        if kind == "step":
            p = p.step(name, gives(seconds, **keys), **merging)
        elif kind == "bad":
            p = p.step(name, fails(seconds, OSError()), on_error="continue", **common)
        elif kind == "last":
            fn = draw(st.sampled_from([gives(seconds, **keys), fails(seconds, OSError())]))
            p = p.step(name, fn, on_error="skip-remaining", **merging)
        elif kind == "transform":
            p = p.transform(name, noted(keys), **common)
        elif kind == "nest":
            p = p.step(name, draw(some), **merging)
        elif kind == "again":
            p = p.step(name, draw(some).step("again", fails_once(**keys)), retry=Retry(2), **merging)
        elif kind == "each-nest":
            element = draw(some).step("n", lambda n=0: {"n": n, "m": n + 1})
            p = p.for_each(name, element, over="ns", each="n", into="e", on_error="continue", **common)
        elif kind in ("each", "each-settle"):
            mode = "settle" if kind == "each-settle" else "all"
            p = p.for_each(name, gives_twice, over="ns", each="n", into="e", mode=mode, on_error="continue", **common)
        elif kind == "branch":
            cases = [
                when(asks(f"when-{case}", draw(st.booleans()), 4), draw(some), name=case)
                for case in draw(st.sampled_from(["v", "vw"]))
            ]
            p = p.branch_on(name, *cases, otherwise(draw(some), name="o"), **merging)
        elif kind == "race":
            # each decimal place belongs to the races of one depth, so no two members end at the same time
            digit = 10.0 ** -(depth + 1)
            members = [
                draw(pipelines(depth + 1, in_race=True, tie_breaker=digit)),
                gives(seconds + 2 * digit, **keys),
                fails(seconds + 3 * digit, OSError()),
            ]
            p = p.step(name, *members, mode="race", **merging)
        else:
            members = [draw(some), gives(seconds, **keys), draw(some)]
            if kind == "settle":
                members.append(fails(seconds + 1, OSError()))
            mode = "all" if kind == "group" else "settle"
            limit = draw(st.sampled_from([None, 1, 2]))
            p = p.step(name, *members, mode=mode, concurrency=limit, **merging)
    return p


IN_PROGRESS = ("begun", "passed", "taken")


def plain(value):
    """Return `value` in a form that is equal before and after a trip through a checkpoint, errors included."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, Fulfilled):
        return value.step_id, plain(value.value)
    return (value.step_id, repr(value.error)) if isinstance(value, Rejected) else value


@given(pipelines())
@settings(max_examples=100)
def test_resume_from_every_checkpoint_gives_the_result_of_the_run(p) -> None:
    """After a trip through JSON. Steps that were done and conditions that were answered are not run again."""

    async def main():
        events = []
        del ran[:], asked[:], answered[:]
        result = await p.run({"ns": [1, 2, 3]}, on_step_complete=lambda event: events.append((event, set(answered))))
        for event, known in events:
            done = {
                entry.step for entry in event.checkpoint.entries if entry.case is None and entry.kind not in IN_PROGRESS
            }
            del ran[:], asked[:]
            again = await p.resume(Checkpoint.from_json(event.checkpoint.to_json()))
            assert plain(again) == plain(result)
            assert not done.intersection(ran)
            assert not {condition for condition in known.intersection(asked) if "/race" not in f"/{condition[1]}/"}

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
