"""What type checkers know about pipelines. Checked by mypy and pyright, never run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict, assert_type

import attrs

from trio_steps import (
    Checkpoint,
    Codec,
    CompleteHook,
    Context,
    ErrorHook,
    MergePolicy,
    OnError,
    Pipeline,
    Step,
    StepCompletion,
    fork,
    otherwise,
    step,
    when,
)


class Signup(TypedDict):
    user_id: str


class Done(TypedDict):
    user_id: str
    total: int


@attrs.frozen
class Report:
    total: int


async def fetch(user_id: str) -> Mapping[str, object]:
    return {"user": user_id}


def count(user: str) -> Report:
    return Report(len(user))


def is_long(user: str) -> bool:
    return len(user) > 3


def nudge(p: Pipeline[Any, Any]) -> Pipeline[Any, Any]:
    return p.step("nudge", count)


async def boundary() -> None:
    open_ended = Pipeline("p")
    assert_type(open_ended, Pipeline[Mapping[str, Any] | None, dict[str, Any]])
    assert_type(await open_ended.run(), dict[str, Any])
    assert_type(await open_ended.run({"a": 1}), dict[str, Any])
    assert_type(await open_ended(), dict[str, Any])

    signup = Pipeline("signup", inputs=Signup).step("fetch", fetch).step("count", count)
    assert_type(signup, Pipeline[Signup, dict[str, Any]])
    assert_type(await signup.run({"user_id": "42"}), dict[str, Any])
    await signup.run({"user": "42"})  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await signup.run()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

    done = signup.outputs(Done)
    assert_type(done, Pipeline[Signup, Done])
    assert_type(await done.run({"user_id": "42"}), Done)
    assert_type(await done({"user_id": "42"}), Done)
    assert_type(await signup.outputs(Report).run({"user_id": "42"}), Report)


def options(p: Pipeline[Signup, Done], policy: MergePolicy, on_error: OnError, codec: Codec) -> None:
    p.step("s", fetch, merge_policy=policy, on_error=on_error)
    Pipeline("p", codec=codec)
    Pipeline("p", codec=json)


async def every_method_keeps_the_input() -> None:
    p = Pipeline(inputs=Signup)
    assert_type(p.step(fetch, count, mode="settle", concurrency=2), Pipeline[Signup, dict[str, Any]])
    assert_type(p.transform("t", count), Pipeline[Signup, dict[str, Any]])
    assert_type(p.branch_on("b", when(is_long, nudge), otherwise(p)), Pipeline[Signup, dict[str, Any]])
    assert_type(p.for_each("e", count, over="users", each="user", into="n"), Pipeline[Signup, dict[str, Any]])
    assert_type(p.for_each("e", p, over="users", each="user", into="n"), Pipeline[Signup, dict[str, Any]])
    p.step("s", fetch, mode="quorum")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    p.step("s", fetch, tiemout=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def a_pipeline_is_a_step(p: Pipeline[Signup, Done]) -> None:
    as_step: Step[[Signup], Done] = p
    assert_type(await as_step({"user_id": "42"}), Done)
    assert_type(await fork("f", mode="race", paths=[p])({"user_id": "42"}), Done)
    assert_type(p.step_names, tuple[str, ...])
    assert_type(await step(count, provides="n")("x"), Report)


async def hooks(p: Pipeline[Signup, Done], text: str) -> None:
    async def complete(event: StepCompletion) -> None:
        assert_type(event.context, Context)
        assert_type(event.checkpoint, Checkpoint)
        event.stop()

    def failed(name: str, error: Exception) -> None:
        assert_type((name, error), tuple[str, Exception])

    told: CompleteHook = complete
    heard: ErrorHook = failed
    assert_type(await p.run({"user_id": "1"}, on_step_complete=complete, on_error=failed), Done)
    assert_type(await p.run({"user_id": "1"}, on_step_complete=told, on_error=heard), Done)
    assert_type(await p.resume(Checkpoint.from_json(text), overrides={"user_id": "2"}), Done)
