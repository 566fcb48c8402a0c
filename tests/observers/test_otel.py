"""Tracing: which spans there are, whose children they are, when, and what they say."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from paths import never, on, raises, returns, set_after, shielded

from trio_steps import (
    CircuitBreaker,
    Event,
    ForkPartialError,
    Pipeline,
    Retry,
    StepTimeoutError,
    current_scope,
    fork,
    race,
    step,
    when,
)
from trio_steps.otel import Tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio_steps.testing import Probe

pytest_plugins = ["_trio_steps_pytest"]  # also where the package was installed without it

SECOND = 1_000_000_000


def run_virtually(main: Any, start: float = 0) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    clock.jump(start)
    trio.run(main, clock=clock)


class Books(SpanProcessor):
    """Which spans were started and have not ended."""

    def __init__(self) -> None:
        self.open: list[str] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self.open.remove(span.name)


class Traces:
    """The SDK, with its in-memory exporter."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.books = Books()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.provider.add_span_processor(self.books)
        self.tracer = self.provider.get_tracer("tests")
        self.tracing = Tracing(self.tracer)

    @property
    def spans(self) -> tuple[Any, ...]:
        return self.exporter.get_finished_spans()

    def span(self, name: str) -> Any:
        """The span of the step with this full name, or of the user's with this name."""
        [span] = [span for span in self.spans if said(span).get("name", span.name) == name]
        return span

    def tree(self, parent: Any = None) -> dict[str, Any]:
        """Names of spans in the names of their parents; the user's in brackets."""
        id = None if parent is None else parent.context.span_id
        inside = [span for span in self.spans if (span.parent and span.parent.span_id) == id]
        inside.sort(key=lambda span: (span.start_time, said(span).get("name", span.name)))
        return {said(span).get("name", f"[{span.name}]"): self.tree(span) for span in inside}


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("trio_steps")
    logger.disabled = True  # of errors that their forks do not raise
    yield
    logger.disabled = False


@pytest.fixture(autouse=True)
def _context_is_left_alone() -> Iterator[None]:
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN


def said(span: Any) -> dict[str, Any]:
    """What is said of a step, without the namespace."""
    start = "trio_steps.step."
    return {key.removeprefix(start): value for key, value in span.attributes.items() if key.startswith(start)}


def events(span: Any) -> list[tuple[str, int, dict[str, Any]]]:
    """The events of a span: name, seconds after the start of the span, attributes."""
    return [
        (event.name, (event.timestamp - span.start_time) / SECOND, dict(event.attributes or {}))
        for event in span.events
    ]


# Parents


def kinds_of_forks() -> dict[str, Any]:
    paths = [returns(number, number, id=f"p{number}") for number in (1, 2, 3)]

    async def asynchronous() -> AsyncIterator[Any]:
        for path in paths:
            await trio.lowlevel.checkpoint()
            yield path

    return {
        "a_task_each": fork("f", mode="all", paths=paths),
        "crew": fork("f", mode="all", paths=paths, concurrency=2),
        "limiter": fork("f", mode="all", paths=paths, concurrency=trio.CapacityLimiter(2)),
        "stagger": fork("f", mode="all", paths=paths, stagger=0.25),
        "lazy": fork("f", mode="all", paths=lambda: iter(paths), concurrency=2),
        "async": fork("f", mode="all", paths=asynchronous, concurrency=2),
    }


@pytest.mark.parametrize("kind", kinds_of_forks())
async def test_span_of_a_path_is_the_child_of_its_fork(traces: Traces, kind: str) -> None:
    await kinds_of_forks()[kind].run(observers=[traces.tracing])
    assert traces.tree() == {"f": {"f/p1": {}, "f/p2": {}, "f/p3": {}}}


async def test_spans_of_nested_forks_under_one_limiter_nest(traces: Traces) -> None:
    limiter = trio.CapacityLimiter(1)
    inner = fork("inner", mode="all", paths=[returns(1, "a"), returns(1, "b")], concurrency=limiter)
    outer = fork("outer", mode="all", paths=[inner, returns(1, "c")], concurrency=limiter)
    await outer.run(observers=[traces.tracing])
    assert traces.tree() == {
        "outer": {"outer/inner": {"outer/inner/a": {}, "outer/inner/b": {}}, "outer/c": {}},
    }


async def test_span_of_the_outermost_step_is_the_child_of_the_callers(traces: Traces) -> None:
    with traces.tracer.start_as_current_span("request") as request:
        await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[traces.tracing])
        assert trace.get_current_span() is request
    assert traces.tree() == {"[request]": {"f": {"f/a": {}}}}
    assert {span.context.trace_id for span in traces.spans} == {request.get_span_context().trace_id}


async def test_span_of_a_step_called_in_a_users_span_is_the_child_of_that(traces: Traces) -> None:
    async def outer() -> None:
        with traces.tracer.start_as_current_span("mine"):
            await race(returns(1, "a"))

    await step(outer).run(observers=[traces.tracing])
    assert traces.tree() == {"outer": {"[mine]": {"outer/race": {"outer/race/a": {}}}}}


async def test_span_of_a_step_in_a_task_that_outlives_the_step_around_it_is_its_child(traces: Traces) -> None:
    async with trio.open_nursery() as nursery:

        async def outer() -> None:
            nursery.start_soon(returns(2, "late"))

        await step(outer).run(observers=[traces.tracing])
    assert traces.tree() == {"outer": {"outer/late": {}}}
    assert not traces.books.open


async def test_spans_of_runs_side_by_side_do_not_mix(traces: Traces) -> None:
    async def run(number: int) -> None:
        with traces.tracer.start_as_current_span(f"request {number}"):
            await fork("f", mode="all", paths=[returns(1, "a"), returns(2, "b")]).run(observers=[traces.tracing])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, 1)
        nursery.start_soon(run, 2)
    story = {"f": {"f/a": {}, "f/b": {}}}
    assert traces.tree() == {"[request 1]": story, "[request 2]": story}


async def test_spans_of_a_pipeline_nest(traces: Traces) -> None:
    inner = Pipeline("inner").step("deep", lambda: {"deep": 1})
    pipeline = (
        Pipeline("signup")
        .step("load", lambda: {"plan": "free", "items": [1, 2]})
        .step("both", lambda: {"a": 1}, lambda: {"b": 2})
        .branch_on("plan", when(lambda plan: plan == "free", inner, name="free"))
        .step("nested", inner)
        .for_each("each", lambda item: item, over="items", each="item", into="results", concurrency=1)
    )
    await pipeline.run({}, observers=[traces.tracing])
    assert traces.tree() == {
        "signup": {
            "load": {},
            "both": {"both/1": {}, "both/2": {}},
            "plan": {"plan/free/deep": {}},
            "nested": {"nested/deep": {}},
            "each": {"each/1": {}, "each/2": {}},
        }
    }


# The current span


async def test_users_spans_in_concurrent_paths_are_children_of_their_paths(traces: Traces) -> None:
    async def path(number: int) -> None:
        with traces.tracer.start_as_current_span(f"first {number}"):
            await trio.sleep(number)
        await trio.sleep(1)
        with traces.tracer.start_as_current_span(f"second {number}"):
            await trio.sleep(number)

    paths = [step(partial(path, number), id=f"p{number}") for number in (1, 2, 3, 4)]
    for concurrency in (None, 2):
        traces.exporter.clear()
        await fork("f", mode="all", paths=paths, concurrency=concurrency).run(observers=[traces.tracing])
        assert traces.tree() == {
            "f": {f"f/p{number}": {f"[first {number}]": {}, f"[second {number}]": {}} for number in (1, 2, 3, 4)}
        }


async def test_users_spans_in_tasks_and_threads_of_a_step_are_its_children(traces: Traces) -> None:
    def work() -> None:
        traces.tracer.start_span("in thread").end()

    async def task() -> None:
        traces.tracer.start_span("in task").end()

    async def path() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)
        await trio.to_thread.run_sync(work)

    await fork("f", mode="all", paths=[path]).run(observers=[traces.tracing])
    assert traces.tree()["f"]["f/path"].keys() == {"[in task]", "[in thread]"}


async def test_users_spans_in_a_source_of_paths_are_children_of_the_fork(traces: Traces) -> None:
    def source() -> Iterator[Any]:
        with traces.tracer.start_as_current_span("read"):
            yield returns(1, "a")
            yield returns(2, "b")

    await fork("f", mode="all", paths=source, concurrency=1).run(observers=[traces.tracing])
    assert traces.tree() == {"f": {"[read]": {}, "f/a": {}, "f/b": {}}}


async def test_baggage_of_the_caller_is_kept(traces: Traces) -> None:
    key = contexts.create_key("tenant")
    seen: list[object] = []

    async def path() -> None:
        seen.append(contexts.get_value(key))

    token = contexts.attach(contexts.set_value(key, "acme"))
    await fork("f", mode="all", paths=[path]).run(observers=[traces.tracing])
    contexts.detach(token)
    assert seen == ["acme"]


@pytest.mark.parametrize("ends", [returns, raises], ids=["returns", "raises"])
async def test_worker_is_kept_after_a_path_was_traced(traces: Traces, ends: Any) -> None:
    tasks: set[object] = set()

    async def path() -> None:
        tasks.add(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()
        if ends is raises:
            raise OSError

    await fork("f", mode="settle", paths=[path] * 20, concurrency=1).run(observers=[traces.tracing])
    assert len(tasks) == 1
    assert len(traces.spans) == 21


async def test_context_that_a_path_leaves_attached_reaches_neither_its_siblings_nor_the_caller(traces: Traces) -> None:
    async def careless() -> None:
        contexts.attach(trace.set_span_in_context(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)))

    async def careful() -> None:
        traces.tracer.start_span("mine").end()

    await fork("f", mode="all", paths=[careless, careful], concurrency=1).run(observers=[traces.tracing])
    assert traces.tree() == {"f": {"f/careless": {}, "f/careful": {"[mine]": {}}}}
    await step(careless).run(observers=[traces.tracing])
    assert trace.get_current_span() is trace.INVALID_SPAN


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
    [span] = traces.spans
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
    [span] = traces.spans
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
        .step("p", lambda: {"gift": 1}, condition=lambda n: n > 1)  # named like the pipeline: it is not the pipeline
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
        assert not any(other.startswith(f"{name}.") for other in own)  # no name is a namespace as well


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


# Times


async def test_times_of_spans_are_those_of_trios_clock(traces: Traces) -> None:
    before = time.time_ns()
    await trio.sleep(1000)  # virtual seconds before the run are no part of it
    await fork("f", mode="all", paths=[returns(0.25, "a"), returns(1.5, "b")], stagger=0.125).run(
        observers=[traces.tracing]
    )
    after = time.time_ns()
    whole = traces.span("f")
    assert before <= whole.start_time <= after
    assert {
        said(span)["name"]: (span.start_time - whole.start_time, span.end_time - whole.start_time)
        for span in traces.spans
    } == {
        "f": (0, 1.625 * SECOND),
        "f/a": (0, 0.25 * SECOND),
        "f/b": (0.125 * SECOND, 1.625 * SECOND),
    }


async def test_span_of_a_step_whose_condition_fails_begins_with_its_condition(traces: Traces) -> None:
    async def fails() -> bool:
        await trio.sleep(2)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        await Pipeline("p").step("a", lambda: None, condition=fails).run({}, observers=[traces.tracing])
    step_, whole = traces.spans
    assert (step_.start_time, step_.end_time) == (whole.start_time, whole.end_time)
    assert whole.end_time - whole.start_time == 2 * SECOND


async def test_each_outermost_step_reads_the_wall_clock(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (100, 5000):  # seconds, and nothing to do with Trio's clock
        monkeypatch.setattr("trio_steps.otel.time_ns", lambda now=now: now * SECOND)
        await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[traces.tracing])
    assert [(span.start_time // SECOND, span.end_time // SECOND) for span in traces.spans] == [
        (100, 101),  # the path
        (100, 101),
        (5000, 5001),
        (5000, 5001),
    ]


def test_one_observer_serves_runs_on_different_clocks(traces: Traces) -> None:
    async def main() -> None:
        await fork("f", mode="all", paths=[returns(1, "a")]).run(observers=[traces.tracing])

    before = time.time_ns()
    for start in (0, 1_000_000):
        run_virtually(main, start)
    after = time.time_ns()
    assert all(before <= span.start_time <= after for span in traces.spans)
    assert [span.end_time - span.start_time for span in traces.spans] == [SECOND] * 4


# Every span ends


def test_spans_end_when_a_run_is_interrupted(traces: Traces) -> None:
    async def main() -> None:
        paths = [raises(1, KeyboardInterrupt(), id="interrupted"), never]
        await fork("f", mode="all", paths=paths, concurrency=2).run(observers=[traces.tracing])

    with pytest.raises(KeyboardInterrupt):
        run_virtually(main)
    assert {said(span)["name"]: span.status.status_code for span in traces.spans} == {
        "f": StatusCode.ERROR,
        "f/interrupted": StatusCode.ERROR,
        "f/never": StatusCode.UNSET,
    }
    assert not traces.books.open


def test_interrupt_while_a_span_is_started_waits_until_the_span_is_in_the_books(traces: Traces) -> None:
    class Interrupts(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            signal.raise_signal(signal.SIGINT)

    traces.provider.add_span_processor(Interrupts())

    with pytest.raises(KeyboardInterrupt):
        run_virtually(partial(step(never).run, observers=[traces.tracing]))
    [span] = traces.spans
    assert span.name == "never"
    assert not traces.books.open


@pytest.mark.parametrize("mode", ["race", "all", "settle"])
def test_spans_end_wherever_a_run_is_cancelled(traces: Traces, explore: Any, mode: Any) -> None:
    flaky = step(raises(1, OSError()), retry=Retry(2, delay=1), id="flaky")
    inner = fork("inner", mode="race", paths=[returns(2, "a"), shielded(3, "b"), never])
    pipeline = (
        Pipeline("p")
        .step("flaky", flaky, on_error="continue")
        .step("both", never, shielded(2, {"k": 1}), mode="settle", timeout=1)
        .step("race", inner, provides="a")
    )
    whole = fork("f", mode=mode, paths=[inner, flaky, partial(pipeline, {})], concurrency=2, timeout=9)

    def books_are_right() -> None:
        assert not traces.books.open
        assert trace.get_current_span() is trace.INVALID_SPAN
        by_id = {span.context.span_id: said(span)["name"] for span in traces.spans}
        for span in traces.spans:
            around, _, _ = said(span)["name"].rpartition("/")
            assert (by_id[span.parent.span_id] if span.parent else "") == around

    async def program(probe: Probe) -> None:
        traces.exporter.clear()
        probe.invariant(books_are_right)
        with suppress(ForkPartialError):
            await whole.run(observers=[traces.tracing])

    explore(program, budget=40)


async def test_nothing_is_kept_after_a_run() -> None:
    tracing = Tracing(TracerProvider(shutdown_on_exit=False).get_tracer("tests"))
    kept: list[weakref.ref[Any]] = []

    async def path() -> None:
        kept.extend((weakref.ref(current_scope()), weakref.ref(trace.get_current_span())))
        await trio.lowlevel.checkpoint()

    await fork("f", mode="all", paths=[path] * 3, concurrency=2).run(observers=[tracing])
    assert len(kept) == 6
    gc.collect()
    assert not [ref for ref in kept if ref() is not None]


async def test_span_processor_that_raises_is_logged_and_the_other_spans_end(
    traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name == "a":
                raise OSError("disk full")

    traces.provider.add_span_processor(Broken())
    logging.getLogger("trio_steps").disabled = False
    await fork("f", mode="all", paths=[returns(1, "a"), returns(2, "b")]).run(observers=[traces.tracing])
    assert traces.tree() == {"f": {"f/a": {}, "f/b": {}}}
    [record] = caplog.records
    assert record.message == "tracing StepSucceeded(name='f/a', time=1.0, duration=1.0) failed"


async def test_error_without_a_message_of_its_own_is_traced(traces: Traces) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message")

    with pytest.raises(MuteError):
        await step(raises(1, MuteError()), retry=Retry(2), id="mute").run(observers=[traces.tracing])
    assert not traces.books.open
    span = traces.span("mute")
    assert span.status.description == "its message could not be read"
    assert [name for name, _, _ in events(span)] == ["trio_steps.step.retrying"]


# Whose spans


@pytest.mark.parametrize("same", [True, False], ids=["the_same", "another"])
async def test_inner_run_with_an_observer_too_has_its_spans_once(traces: Traces, same: bool) -> None:
    inner = fork("inner", mode="race", paths=[step(raises(1, OSError()), retry=Retry(2)), returns(3, "a")])
    observer = traces.tracing if same else Tracing(traces.tracer)

    async def outer() -> None:
        await inner.run(observers=[observer])

    await step(outer).run(observers=[traces.tracing])
    assert traces.tree() == {"outer": {"outer/inner": {"outer/inner/bad": {}, "outer/inner/a": {}}}}
    assert len(traces.span("outer/inner").links) == 1
    assert [name for name, _, _ in events(traces.span("outer/inner/bad"))] == ["trio_steps.step.retrying", "exception"]
    assert not traces.books.open


async def test_observer_of_an_inner_run_traces_that_run_only(traces: Traces) -> None:
    async def outer() -> None:
        await fork("inner", mode="all", paths=[returns(1, "a")]).run(observers=[traces.tracing])

    await step(outer)()
    assert traces.tree() == {"outer/inner": {"outer/inner/a": {}}}


async def test_sampler_that_says_no_is_heard() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    result = await fork("f", mode="race", paths=[returns(1, "a"), never]).run(
        observers=[Tracing(provider.get_tracer("tests"))]
    )
    assert result == "a"
    assert not exporter.get_finished_spans()


async def test_tracer_is_by_default_the_librarys(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer", traces.provider.get_tracer)
    await returns(1, "a").run(observers=[Tracing()])
    [span] = traces.spans
    assert span.instrumentation_scope.name == "trio_steps"


async def test_tracing_without_an_sdk_does_nothing() -> None:
    assert await fork("f", mode="race", paths=[returns(1, "a"), never]).run(observers=[Tracing()]) == "a"


def test_import_of_the_library_does_not_import_opentelemetry() -> None:
    code = "import sys, trio_steps; sys.exit('opentelemetry' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
