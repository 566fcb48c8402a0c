"""A pipeline that waits can't be inside a fork or a step that runs as one unit: that is an error where it is built."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
from typing import Any

import pytest

from trio_steps import ConfigError, Pipeline, Retry, fork, step
from trio_steps.testing import MemoryStore

asks: Pipeline[Any, Any] = Pipeline("asks").wait_for("ask", provides="x")
inner: Pipeline[Any, Any] = Pipeline("inner").step("asks", asks)
other = step(lambda: {"y": 1}, id="other")


@pytest.mark.parametrize(
    "waits",
    [
        fork("f", mode="all", paths=[asks, other]),
        fork("f", mode="race", paths=[other, inner]),
        fork("f", mode="all", paths=[fork("g", mode="all", paths=[asks]), other]),
        fork("f", mode="all", paths=[step(asks, retry=Retry(2)), other]),
        step(asks, retry=Retry(2)),
        functools.partial(step(inner, timeout=5.0), {}),
    ],
    ids=["fork", "race", "fork in a fork", "path with policies", "policies", "partial"],
)
def test_pipeline_that_waits_inside_of_what_is_run_as_one_is_refused(waits: Any) -> None:
    for build in (lambda: Pipeline("p").step("s", waits, provides="z"), lambda: Pipeline("p").step("g", waits, other)):
        with pytest.raises(ConfigError, match=r"a path of a fork, or a step of its own, and its step 'ask' waits for"):
            build()


async def test_pipeline_that_waits_is_a_step_a_member_and_has_policies_there() -> None:
    for p in (
        Pipeline("p").step("s", asks, retry=Retry(2), timeout=5.0),
        Pipeline("p").step("s", step(asks, id="renamed")),
        Pipeline("p").step("g", asks, other, timeout=5.0),
    ):
        assert (await p.run({}, store=MemoryStore(), run_id="r", answers={"x": 1}))["x"] == 1
