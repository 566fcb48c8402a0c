"""Spans: their parents, which span is current, and their times."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from opentelemetry import context as contexts
from opentelemetry import trace
from paths import raises, returns
from traces import SECOND, Traces, run_virtually, said

from trio_steps import (
    Pipeline,
    fork,
    race,
    step,
    when,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.usefixtures("quiet", "context_is_left_alone")

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


# Times


async def test_times_of_spans_are_those_of_trios_clock(traces: Traces) -> None:
    before = time.time_ns()
    await trio.sleep(1000)  # virtual seconds before the run do not count
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
    for now in (100, 5000):  # seconds, unrelated to Trio's clock
        monkeypatch.setattr("trio_steps._observers.tracing.time_ns", lambda now=now: now * SECOND)
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
