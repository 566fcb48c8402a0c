"""Metrics with OpenTelemetry's SDK: what is counted and measured, and with which attributes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from paths import never, raises, returns, shielded
from timelines import fails, ran

from trio_steps import (
    CircuitBreaker,
    Pipeline,
    RateLimit,
    Recorder,
    Retry,
    fork,
    gather,
    observing,
    race,
    settle,
    step,
)
from trio_steps.otel import Metrics


class Meters:
    """The SDK, with its in-memory reader."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.metrics = Metrics(self._provider.get_meter("tests"))

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The attributes and values of an instrument; for a histogram, the count and the sum."""
        data = self._reader.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return [
            (dict(point.attributes), point.value if hasattr(point, "value") else (point.count, point.sum))
            for metric in found
            for point in metric.data.data_points
        ]


@pytest.fixture
def meters() -> Meters:
    return Meters()


async def test_steps_are_counted_and_measured_by_how_they_ended(meters: Meters, quiet: None) -> None:
    paths = [returns(1, "a", id="fetch"), raises(2, OSError(), id="fetch"), returns(4, "b", id="slow")]
    with observing(meters.metrics):
        await settle(paths[0], paths[2])
        await settle(paths[1])
        await race(returns(1, "x"), never, step(returns(9, "y"), id="y"), concurrency=2)
    expected = [
        ({"step": "fetch", "outcome": "succeeded"}, (1, 1.0)),
        ({"step": "slow", "outcome": "succeeded"}, (1, 4.0)),
        ({"step": "settle", "outcome": "succeeded"}, (2, 6.0)),
        ({"step": "fetch", "outcome": "failed", "error.type": "OSError"}, (1, 2.0)),
        ({"step": "x", "outcome": "succeeded"}, (1, 1.0)),
        ({"step": "never", "outcome": "cancelled"}, (1, 1.0)),
        ({"step": "race", "outcome": "succeeded"}, (1, 1.0)),
    ]
    assert meters.points("trio_steps.step.duration") == expected
    counts = [(attributes, count) for attributes, (count, _) in expected]
    assert [point for point in meters.points("trio_steps.steps") if point[0]["outcome"] != "skipped"] == counts
    assert ({"step": "y", "outcome": "skipped"}, 1) in meters.points("trio_steps.steps")


async def test_paths_that_share_an_id_are_of_one_kind(meters: Meters) -> None:
    async def fetch() -> None:
        await trio.sleep(1)

    with observing(meters.metrics):
        await gather(fetch, fetch, fetch)
        await Pipeline("p").for_each("resize", lambda x: x, over="xs", each="x", into="ys").run({"xs": [1, 2]})
    counts = {point["step"]: count for point, count in meters.points("trio_steps.steps")}
    assert counts == {"fetch": 3, "gather": 1, "p": 1, "resize": 1, "resize path": 2}


async def test_paths_that_never_started_are_counted_by_their_kind(meters: Meters) -> None:
    async def fetch() -> None:
        await trio.sleep(1)

    await race(*[fetch] * 5, concurrency=1, observers=[meters.metrics])
    assert ({"step": "fetch", "outcome": "skipped"}, 4) in meters.points("trio_steps.steps")


async def test_steps_that_run_are_counted_now(meters: Meters) -> None:
    pipeline = Pipeline("p").step("no", lambda: None, condition=False).step("a", returns(2, None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: pipeline.run({}, observers=[meters.metrics]))
        await trio.sleep(1)
        assert meters.points("trio_steps.steps.running") == [({"step": "p"}, 1), ({"step": "a"}, 1)]
    assert meters.points("trio_steps.steps.running") == [({"step": "p"}, 0), ({"step": "a"}, 0)]


async def test_step_that_its_breaker_skips_does_not_run_on(meters: Meters) -> None:
    flaky = step(fails(1, 1), id="flaky", circuit_breaker=CircuitBreaker(1, 60, on_open="skip"))
    with observing(meters.metrics):
        with pytest.raises(OSError, match="busy"):
            await flaky()
        await flaky()
    assert meters.points("trio_steps.steps.running") == [({"step": "flaky"}, 0)]
    assert meters.points("trio_steps.steps")[-1] == ({"step": "flaky", "outcome": "skipped"}, 1)
    assert meters.points("trio_steps.circuit.changes") == [({"step": "flaky", "state": "open"}, 1)]


async def test_attempts_and_retries_are_counted(meters: Meters) -> None:
    await settle(step(fails(2, 1), id="flaky", retry=Retry(3)), observers=[meters.metrics])
    assert meters.points("trio_steps.attempts") == [
        ({"step": "flaky", "outcome": "failed", "error.type": "OSError"}, 2),
        ({"step": "flaky", "outcome": "succeeded"}, 1),
    ]
    assert meters.points("trio_steps.retries") == [({"step": "flaky", "error.type": "OSError"}, 2)]


async def test_waits_for_limits_are_measured(meters: Meters) -> None:
    limiter = trio.CapacityLimiter(1)

    @step(limiter=limiter)
    async def slow() -> None:
        await trio.sleep(2)

    @step(rate=RateLimit(1, per=5.0))
    async def often() -> None:
        pass

    with observing(meters.metrics):
        await gather(slow, slow)
        await gather(often, often)
    assert meters.points("trio_steps.limit.wait") == [
        ({"step": "slow", "limit": "limiter"}, (1, 2.0)),
        ({"step": "often", "limit": "rate"}, (1, 5.0)),
    ]


async def test_what_nobody_got_is_counted(meters: Meters, quiet: None) -> None:
    await race(returns(1, "a"), shielded(2, "b"), shielded(2, OSError(), id="late"), observers=[meters.metrics])
    told = sorted((point["what"], count) for point, count in meters.points("trio_steps.discarded"))
    assert told == [("error", 1), ("value", 1)]


async def test_quiet_steps_are_left_out_and_a_run_inside_is_counted_once(meters: Meters) -> None:
    inner = fork("inner", mode="all", paths=[returns(1, "a")])

    async def secret() -> None:
        await inner()

    async def outer() -> None:
        await inner.run(observers=[meters.metrics])

    with observing(meters.metrics):
        await Pipeline("p").step("secret", secret, log=False).step("outer", outer).run({})
    counts = {point["step"]: count for point, count in meters.points("trio_steps.steps")}
    assert counts == {"p": 1, "outer": 1, "inner": 1, "a": 1}


async def test_same_event_is_counted_once(meters: Meters) -> None:
    recorder = Recorder()
    await returns(1, "a").run(observers=[recorder])
    for event in recorder.events:
        meters.metrics(event)
        meters.metrics(event)
    assert meters.points("trio_steps.steps") == [({"step": "a", "outcome": "succeeded"}, 1)]


def test_end_of_a_step_whose_start_was_not_seen_does_not_count_below_zero(meters: Meters) -> None:
    meters.metrics(ran("a", 0, 1)[1])
    assert meters.points("trio_steps.steps.running") == []


async def test_instrument_that_fails_is_logged_and_the_others_count_on(meters: Meters, caplog: Any) -> None:
    class Broken:
        def record(self, *_: object) -> None:
            raise OSError("disk full")

    meters.metrics._duration = Broken()
    logging.getLogger("trio_steps").disabled = False
    await returns(1, "a").run(observers=[meters.metrics])
    await step(fails(1, 1), id="flaky", retry=Retry(2)).run(observers=[meters.metrics])
    assert len(caplog.records) == 2
    assert meters.points("trio_steps.retries") == [({"step": "flaky", "error.type": "OSError"}, 1)]


async def test_meter_is_that_of_the_program_by_default() -> None:
    await returns(1, "a").run(observers=[Metrics()])
