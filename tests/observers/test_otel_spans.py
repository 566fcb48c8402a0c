"""What a span says: name, status, attributes, events and links."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from opentelemetry.trace import StatusCode
from paths import never, on, raises, returns, set_after, shielded
from traces import SECOND, Traces, events, said

from trio_steps import (
    CircuitBreaker,
    Event,
    ForkPartialError,
    Pipeline,
    RateLimit,
    Retry,
    StepTimeoutError,
    current_scope,
    fork,
    step,
)

pytestmark = pytest.mark.usefixtures("quiet", "context_is_left_alone")

# What a span says


async def test_span_of_a_success_has_no_status_and_says_which_step_it_was(traces: Traces) -> None:
    await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[traces.tracing])
    [path, whole] = traces.spans
    assert path.status.status_code is whole.status.status_code is StatusCode.UNSET
    assert dict(path.attributes) == {
        "trio_steps.step.id": "a",
        "trio_steps.step.name": "f/a",
        "trio_steps.step.outcome": "succeeded",
    }
    assert whole.attributes["trio_steps.fork.path_count"] == 1
    assert not path.events
    assert not whole.events


async def test_span_of_a_failure_has_the_status_error_and_the_exception(traces: Traces) -> None:
    with pytest.raises(ForkPartialError):
        await fork("f", mode="all", paths=[raises(1, OSError("no route"))]).run(observers=[traces.tracing])
    span = traces.span("f/bad")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no route")
    assert said(span)["outcome"] == "failed"
    assert span.attributes["error.type"] == "OSError"
    [(name, after, exception)] = events(span)
    assert (name, after) == ("exception", 1.0)
    assert exception["exception.type"] == "OSError"
    assert exception["exception.message"] == "no route"
    assert "raise error" in exception["exception.stacktrace"]
    whole = traces.span("f")
    assert whole.status.status_code is StatusCode.ERROR
    assert whole.attributes["error.type"] == "trio_steps.ForkPartialError"
    assert whole.status.description == "fork 'f': 1 of 1 paths failed (1 sub-exception)"


async def test_span_of_a_timeout_is_a_failure(traces: Traces) -> None:
    with pytest.raises(StepTimeoutError):
        await step(never, timeout=2).run(observers=[traces.tracing])
    for name in ("never", "never @1"):
        span = traces.span(name)
        assert span.status.description == "'never' timed out after 2 s"
        assert span.end_time - span.start_time == 2 * SECOND


async def test_span_of_a_cancelled_path_is_no_error_and_says_why(traces: Traces) -> None:
    await fork("f", mode="race", paths=[returns(1, "a"), never]).run(observers=[traces.tracing])
    span = traces.span("f/never")
    assert span.status.status_code is StatusCode.UNSET
    assert said(span) == {
        "id": "never",
        "name": "f/never",
        "outcome": "cancelled",
        "reason": "fork 'f': path 'a' won",
    }
    assert "error.type" not in span.attributes
    assert not span.events


async def test_span_of_a_run_cancelled_from_outside_is_no_error(traces: Traces) -> None:
    with trio.CancelScope() as scope:
        scope.cancel("no longer wanted")
        await fork("f", mode="all", paths=[never]).run(observers=[traces.tracing])
    [span] = traces.spans
    assert (span.status.status_code, said(span)["reason"]) == (StatusCode.UNSET, "no longer wanted")


async def test_span_of_a_race_has_a_link_to_the_winner(traces: Traces) -> None:
    await fork("f", mode="race", paths=[returns(2, "a"), returns(1, "b")]).run(observers=[traces.tracing])
    whole = traces.span("f")
    [link] = whole.links
    assert link.context == traces.span("f/b").context
    assert link.attributes == {"trio_steps.fork.winner": "b"}
    assert whole.attributes["trio_steps.fork.winner"] == "b"


async def test_span_of_a_fork_that_is_no_race_has_no_winner(traces: Traces) -> None:
    await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[traces.tracing])
    assert not traces.span("f").links


async def test_retries_are_events_of_the_span(traces: Traces) -> None:
    errors: list[Exception] = [ConnectionError("first"), TimeoutError("second")]

    @step(retry=Retry(3, backoff="exponential", delay=0.5))
    async def flaky() -> None:
        await trio.sleep(1)
        if errors:
            raise errors.pop(0)

    await flaky.run(observers=[traces.tracing])
    span = traces.span("flaky")
    assert span.status.status_code is StatusCode.UNSET
    assert events(span) == [
        (
            "trio_steps.step.retrying",
            after,
            {
                "trio_steps.step.name": "flaky",
                "trio_steps.retry.attempt": attempt,
                "trio_steps.retry.delay": delay,
                "exception.type": kind,
                "exception.message": message,
            },
        )
        for attempt, after, delay, kind, message in [
            (1, 1.0, 0.5, "ConnectionError", "first"),
            (2, 2.5, 1.0, "TimeoutError", "second"),
        ]
    ]


async def test_attempts_are_spans_in_which_those_of_the_user_are(traces: Traces) -> None:
    errors: list[Exception] = [ConnectionError("first")]

    @step(retry=Retry(2, delay=0.5), limiter=trio.CapacityLimiter(1), rate=RateLimit(1, per=3.0))
    async def flaky() -> None:
        with traces.tracer.start_as_current_span("mine"):
            await trio.sleep(1)
        if errors:
            raise errors.pop(0)

    await flaky.run(observers=[traces.tracing])
    assert traces.tree() == {"flaky": {"flaky @1": {"[mine]": {}}, "flaky @2": {"[mine]": {}}}}
    whole, first, second = (traces.span(name) for name in ("flaky", "flaky @1", "flaky @2"))
    times = [(span.start_time - whole.start_time, span.end_time - whole.start_time) for span in (first, second)]
    assert times == [(0, SECOND), (3 * SECOND, 4 * SECOND)]
    assert [span.name for span in (first, second)] == ["flaky attempt"] * 2
    assert first.attributes == {
        "trio_steps.step.name": "flaky",
        "trio_steps.attempt.number": 1,
        "trio_steps.attempt.outcome": "failed",
        "error.type": "ConnectionError",
    }
    assert first.status.status_code is StatusCode.ERROR
    assert [event.name for event in first.events] == ["exception"]
    assert second.attributes["trio_steps.attempt.outcome"] == "succeeded"
    assert [name for name, _, _ in events(whole)] == ["trio_steps.step.retrying", "trio_steps.limit.waited"]
    assert events(whole)[1][1:] == (
        3.0,
        {"trio_steps.step.name": "flaky", "trio_steps.limit.kind": "rate", "trio_steps.limit.duration": 1.5},
    )


async def test_circuit_breaker_that_opens_and_closes_is_an_event(traces: Traces) -> None:
    errors: list[Exception] = [ConnectionError("first")]

    @step(circuit_breaker=CircuitBreaker(1, 5))
    async def flaky() -> None:
        if errors:
            raise errors.pop(0)

    with pytest.raises(ConnectionError):
        await flaky.run(observers=[traces.tracing])
    await trio.sleep(5)
    await flaky.run(observers=[traces.tracing])
    told = [event.name for span in traces.spans for event in span.events if "circuit" in event.name]
    assert told == ["trio_steps.circuit.opened", "trio_steps.circuit.closed"]


@pytest.mark.parametrize("dispose", [None, lambda value: None], ids=["reported", "disposed"])
async def test_discarded_value_is_an_event_of_the_fork_without_the_value(traces: Traces, dispose: Any) -> None:
    together = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, together)
        paths = [on(together, "a"), on(together, "b")]
        winner = await fork("f", mode="race", paths=paths, dispose=dispose).run(observers=[traces.tracing])
    assert events(traces.span("f")) == [
        (
            "trio_steps.value.discarded",
            1.0,
            {
                "trio_steps.step.name": "f/b" if winner == "a" else "f/a",
                "trio_steps.value.type": "str",
                "trio_steps.value.disposed": dispose is not None,
            },
        )
    ]


async def test_discarded_error_is_an_event_of_the_fork(traces: Traces) -> None:
    paths = [returns(1, "a"), shielded(2, OSError("too late"), id="b")]
    await fork("f", mode="race", paths=paths).run(observers=[traces.tracing])
    whole = traces.span("f")
    assert whole.status.status_code is StatusCode.UNSET
    assert events(whole) == [
        (
            "trio_steps.error.discarded",
            2.0,
            {
                "trio_steps.step.name": "f/b",
                "exception.type": "OSError",
                "exception.message": "too late",
            },
        )
    ]
    assert traces.span("f/b").status.status_code is StatusCode.ERROR


async def test_paths_that_never_started_are_counted(traces: Traces) -> None:
    paths = [raises(1, OSError()), *[never] * 5]
    with pytest.raises(ForkPartialError):
        await fork("f", mode="all", paths=paths, concurrency=2).run(observers=[traces.tracing])
    whole = traces.span("f")
    assert whole.attributes["trio_steps.fork.path_count"] == 6
    assert whole.attributes["trio_steps.fork.skipped_path_count"] == 4
    assert traces.tree() == {"f": {"f/bad": {}, "f/never": {}}}
    assert [name for name, _, _ in events(whole)] == ["exception"]


async def test_step_whose_condition_does_not_hold_is_an_event_of_the_span_around_it(traces: Traces) -> None:
    pipeline = (
        Pipeline("p")
        .step("first", lambda: {"n": 1})
        .step("p", lambda: {"gift": 1}, condition=lambda n: n > 1)  # has the pipeline's name, but is a step
        .step("last", lambda: {"end": 1})
    )
    await pipeline.run({}, observers=[traces.tracing])
    whole = traces.spans[-1]
    assert [span.name for span in traces.spans] == ["first", "last", "p"]
    assert said(whole)["outcome"] == "succeeded"
    assert events(whole) == [
        (
            "trio_steps.step.skipped",
            0.0,
            {"trio_steps.step.name": "p", "trio_steps.step.reason": "its condition does not hold"},
        )
    ]


async def test_span_of_a_step_that_its_breaker_refuses_is_skipped(traces: Traces) -> None:
    refused = step(raises(0, OSError()), circuit_breaker=CircuitBreaker(1, 10, on_open="skip"), id="refused")
    with pytest.raises(OSError):  # noqa: PT011
        await refused()
    await refused.run(observers=[traces.tracing])
    [span] = traces.spans
    assert span.status.status_code is StatusCode.UNSET
    assert said(span)["outcome"] == "skipped"
    assert said(span)["reason"] == "circuit breaker of 'refused' is open; next probe in 10 s"


async def test_span_of_a_step_that_was_stopped_is_no_error(traces: Traces) -> None:
    pipeline = Pipeline("p", on_step_complete=lambda completion: completion.stop()).step(
        "both", lambda: {"a": 1}, lambda: {"b": 2}, concurrency=1
    )
    await pipeline.run({}, observers=[traces.tracing])
    span = traces.span("both")
    assert (span.status.status_code, said(span)["reason"]) == (StatusCode.UNSET, "the run was stopped")
    assert not traces.books.open


async def test_overridden_key_is_an_event_of_the_step(traces: Traces) -> None:
    pipeline = Pipeline("p").step("both", lambda: {"a": 1}, lambda: {"a": 2}, merge_policy="warn")
    await pipeline.run({}, observers=[traces.tracing])
    assert events(traces.span("both")) == [
        (
            "trio_steps.key.overridden",
            0.0,
            {
                "trio_steps.step.name": "both",
                "trio_steps.key.name": "a",
                "trio_steps.key.first_source": "both/1",
                "trio_steps.key.second_source": "both/2",
            },
        )
    ]


async def test_quiet_step_has_no_span(traces: Traces) -> None:
    pipeline = Pipeline("p").step("secret", fork("f", mode="all", paths=[returns(1, "a")]), log=False, provides="f")
    await pipeline.run({}, observers=[traces.tracing])
    assert traces.tree() == {"p": {}}


async def test_event_of_a_kind_that_is_not_known_changes_nothing(traces: Traces) -> None:
    async def path() -> None:
        scope = current_scope()
        traces.tracing(Event(name=scope.name, time=trio.current_time(), scope=scope))

    await step(path).run(observers=[traces.tracing])
    [span] = traces.spans
    assert not span.events


async def test_attributes_and_events_keep_to_the_naming_rules(traces: Traces) -> None:
    together = trio.Event()
    flaky = step(raises(0, OSError()), retry=Retry(2), id="flaky")
    paths = [on(together, "a"), on(together, "b"), flaky, never]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, together)
        await fork("f", mode="race", paths=paths).run(observers=[traces.tracing])
    names = {event.name for span in traces.spans for event in span.events}
    for thing in (thing for span in traces.spans for thing in (span, *span.events, *span.links)):
        names |= set(thing.attributes)
    own = {name for name in names if name.startswith("trio_steps.")}
    assert names - own == {"exception", "error.type", "exception.type", "exception.message"} | {
        name for name in names if name in ("exception.stacktrace", "exception.escaped")
    }
    assert len(own) > 8
    for name in own:
        assert all(part.replace("_", "").isalpha() and part.islower() for part in name.split("."))
        assert not any(other.startswith(f"{name}.") for other in own)  # no name is also a namespace


# Names


async def test_span_is_named_after_the_function_of_paths_that_share_it(traces: Traces) -> None:
    async def fetch(url: int) -> None:
        await trio.lowlevel.checkpoint()

    paths = [partial(fetch, number) for number in range(3)]
    await fork("f", mode="all", paths=lambda: iter(paths), concurrency=2).run(observers=[traces.tracing])
    assert sorted((span.name, said(span)["id"]) for span in traces.spans) == [
        ("f", "f"),
        ("fetch", "fetch"),
        ("fetch", "fetch#2"),
        ("fetch", "fetch#3"),
    ]


async def test_span_of_a_path_that_is_but_a_number_is_named_after_the_step_around_it(traces: Traces) -> None:
    pipeline = Pipeline("p").for_each("resize", lambda item: item, over="items", each="item", into="done")
    await pipeline.run({"items": [1, 2]}, observers=[traces.tracing])
    assert [span.name for span in traces.spans] == ["resize path", "resize path", "resize", "p"]


@pytest.mark.parametrize("id", ["7", "#1", "a#b", "issue#"])
async def test_span_of_an_id_that_is_no_numbered_one_is_named_after_it(traces: Traces, id: str) -> None:
    await returns(0, 1, id=id).run(observers=[traces.tracing])
    [span] = traces.spans
    assert span.name == id
