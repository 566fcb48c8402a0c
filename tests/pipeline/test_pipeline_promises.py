"""Promises of the pipeline's contract that no other test file covers."""

from __future__ import annotations

import json
import sys
from typing import TypedDict

import attrs
import pytest
import trio

from trio_steps import (
    Checkpoint,
    CheckpointError,
    Codec,
    CompleteHook,
    ErrorHook,
    KeyCollisionError,
    MergePolicy,
    OnError,
    Pipeline,
    Retry,
    StepCompletion,
    StepFailed,
    otherwise,
    when,
)
from trio_steps._pipeline import copies


class Signup(TypedDict):
    user_id: str


class UserOut(TypedDict):
    user: dict[str, str]
    plan: str
    images: list[int]


class Done(TypedDict):
    user_id: str
    total: int


async def fetch_user(user_id: str) -> UserOut:
    await trio.sleep(1)
    return {"user": {"id": user_id}, "plan": user_id, "images": [3, 1, 1]}


async def fetch_orders(user):
    await trio.sleep(2)
    return {"orders": list(range(12))}


async def fetch_alerts(user):
    await trio.sleep(9)
    return {"alerts": ["late"]}


async def forecast(orders):
    raise ConnectionError("no forecast")


async def is_trial(plan):
    return plan == "trial"


async def make_thumbnail(image, user):
    await trio.sleep(image)
    return f"{image} of {user['id']}"


@pytest.mark.parametrize(
    ("user_id", "case"), [("premium", "premium/perk"), ("trial", "trial/nudge"), ("free", "otherwise/basic-user")]
)
async def test_pipeline_of_the_contract_page_works_as_it_is_written(user_id, case) -> None:
    told, failed = [], []
    premium = Pipeline("premium").step("perk", lambda: {"perk": 1})
    signup = (
        Pipeline("signup", inputs=Signup)
        .step("fetch-user", fetch_user)
        .step("fetch-data", fetch_orders, fetch_alerts, mode="settle", merge_policy="error", timeout=5.0)
        .step("forecast", forecast, condition=lambda orders=(): len(orders) > 10, on_error="continue")
        .branch_on(
            "route",
            when(lambda plan: plan == "premium", premium),
            when(is_trial, lambda p: p.step("nudge", lambda: None), name="trial"),
            otherwise(lambda p: p.step("basic-user", lambda user: None)),
        )
        .for_each("thumbnails", make_thumbnail, over="images", each="image", into="thumbnails", concurrency=2)
        .transform("finalize", lambda user, orders=(): {"user_id": user["id"], "total": len(orders)})
        .outputs(Done)
    )
    result = await signup.run(
        {"user_id": user_id},
        on_step_complete=lambda event: told.append((event.name, trio.current_time())),
        on_error=lambda name, error: failed.append((name, type(error).__name__)),
    )
    assert result == {"user_id": user_id, "total": 12}
    assert told == [
        ("fetch-user", 1),
        ("fetch-data/fetch_orders", 3),
        ("fetch-data", 6),
        (f"route/{case}", 6),
        ("route", 6),
        ("thumbnails/2", 7),
        ("thumbnails/3", 8),
        ("thumbnails/1", 9),
        ("thumbnails", 9),
        ("finalize", 9),
    ]
    assert failed == [("fetch-data/fetch_alerts", "StepTimeoutError"), ("forecast", "ConnectionError")]


# What it costs


async def test_only_what_a_function_names_and_returns_is_copied(monkeypatch) -> None:
    copied = []
    real = copies.copy_value
    monkeypatch.setattr(copies, "copy_value", lambda value: (copied.append(value), real(value))[1])
    p = Pipeline().step("s", lambda key5, key7=None: {}, condition=lambda key3: True)
    p = p.step("whole", lambda ctx, /: {"seen": ctx["key9"][0]})
    await p.run({f"key{number}": [number] for number in range(1000)})
    assert copied == [[3], [5], [7]]


def calls_while(build):
    """Return how many calls `build` makes, including each resumption of a generator."""
    calls = [0]

    def count(frame, event, arg):
        calls[0] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        build()
    finally:
        sys.setprofile(before)
    return calls[0]


@pytest.mark.parametrize("mode", ["race", "all", "settle"])
def test_members_with_keys_of_their_own_cost_the_same_each_when_it_is_built(mode) -> None:
    def members(count):
        made = []
        for number in range(count):

            def member(**keys): ...

            member.__annotations__ = {"return": TypedDict(f"Out{number}", {f"k{number}": int})}
            made.append(member)
        return made

    few, many = members(50), members(200)
    Pipeline().step("warm", *few, mode=mode)
    small = calls_while(lambda: Pipeline().step("g", *few, mode=mode))
    large = calls_while(lambda: Pipeline().step("g", *many, mode=mode))
    assert large < 4.5 * small


async def test_element_costs_the_same_however_many_there_are_with_a_journal_too() -> None:
    inner = Pipeline("i").step("nest", Pipeline("n").step("s", lambda n: {"a": 1})).step("t", lambda a: {"b": a})
    p = Pipeline().for_each("e", inner, over="ns", each="n", into="o", concurrency=1)
    looked_at = [0]

    class Name(str):
        """A name that counts how often the journal looks at it."""

        __slots__ = ()

        def startswith(self, *args):
            looked_at[0] += 1
            return super().startswith(*args)

    def note(event):
        entries = event._reporter.journal.entries
        entries[-1] = attrs.evolve(entries[-1], step=Name(entries[-1].step))

    await p.run({"ns": list(range(50))}, on_step_complete=note)
    assert looked_at[0] < 50 * 10


async def test_checkpoint_costs_nothing_until_it_is_used() -> None:
    class Odd:
        """Something that no checkpoint can hold."""

    events = []
    result = await Pipeline().step("s", Odd, provides="odd").run({}, on_step_complete=events.append)
    checkpoint = events[0].checkpoint
    assert isinstance(result["odd"], Odd)
    with pytest.raises(CheckpointError, match=r"^step 's', key 'odd': .* can't be held"):
        checkpoint.to_json()


# Merging


async def test_collision_is_not_tried_again_and_is_forgiven_by_on_error() -> None:
    ran = []

    def collide():
        ran.append(1)
        return {"a": 2, "b": 2}

    p = Pipeline().step("s", collide, merge_policy="error", retry=Retry(5))
    with pytest.raises(KeyCollisionError):
        await p.run({"a": 1})
    assert ran == [1]
    p = Pipeline().step("g", collide, lambda: {"c": 3}, merge_policy="error", retry=Retry(5), on_error="continue")
    errors = []
    assert await p.run({"a": 1}, on_error=lambda name, error: errors.append((name, error.key))) == {"a": 1}
    assert errors == [("g", "a")]


async def test_values_that_only_compare_equal_are_changes_in_a_patch() -> None:
    sub = Pipeline("sub").step("s", lambda: {"same": [1], "one": True, "other": [2]})
    p = Pipeline().step("nest", sub, merge_policy="error")
    assert await p.run({"same": [1]}) == {"same": [1], "one": True, "other": [2]}
    with pytest.raises(KeyCollisionError) as caught:
        await p.run({"one": 1})
    assert caught.value.key == "one"


# Observers and hooks


async def test_what_settle_and_continue_forgive_is_told_to_observers_too() -> None:
    def bad():
        raise OSError

    events = []
    p = Pipeline().step("g", bad, lambda: None, mode="settle").step("s", bad, on_error="continue")
    await p.run({}, observers=[events.append])
    assert [event.name for event in events if isinstance(event, StepFailed)] == ["g/bad", "s"]


async def test_hooks_and_options_can_be_annotated_by_public_names() -> None:
    told: list[object] = []

    async def complete(event: StepCompletion) -> None:
        told.append(event.name)

    def failed(name: str, error: Exception) -> None:
        told.append(error)

    class Plain:
        def dumps(self, value: object, /) -> str:
            return json.dumps(value)

        def loads(self, text: str, /) -> object:
            return json.loads(text)

    hook: CompleteHook = complete
    on_error: ErrorHook = failed
    codec: Codec = Plain()
    policy: MergePolicy = "skip"
    forgive: OnError = "continue"
    p = Pipeline(on_step_complete=hook, on_error=on_error, codec=codec)
    p = p.step("s", lambda: 1 / 0, on_error=forgive).step("t", lambda: {"a": 2}, merge_policy=policy)
    assert await p.run({"a": 1}) == {"a": 1}
    assert [told[0].__class__, told[1]] == [ZeroDivisionError, "t"]


async def test_codec_of_the_pipeline_writes_its_checkpoints() -> None:
    texts = []
    p = Pipeline(codec=json).step("s", lambda: {"a": (1, 2)}).step("t", lambda a: {"b": a})
    await p.run({}, on_step_complete=lambda event: texts.append(event.checkpoint.to_json()))
    assert await p.resume(Checkpoint.from_json(texts[0], codec=json)) == {"a": [1, 2], "b": [1, 2]}
    with pytest.raises(CheckpointError, match="pass codec="):
        Checkpoint.from_json(texts[0])
