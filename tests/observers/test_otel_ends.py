"""Every span ends, and each run has its spans once."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from paths import never, raises, returns, shielded
from traces import Traces, events, run_virtually, said

from trio_steps import (
    ForkPartialError,
    Pipeline,
    Retry,
    current_scope,
    fork,
    step,
)
from trio_steps.otel import Tracing

if TYPE_CHECKING:
    from trio_steps.testing import Probe

pytest_plugins = ["_trio_steps_pytest"]  # also if the plugin is not registered
pytestmark = pytest.mark.usefixtures("quiet", "context_is_left_alone")

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
            name = said(span)["name"]
            around = name if "trio_steps.attempt.number" in span.attributes else name.rpartition("/")[0]
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
    assert traces.tree() == {
        "outer": {
            "outer/inner": {
                "outer/inner/a": {},
                "outer/inner/bad": {"outer/inner/bad @1": {}, "outer/inner/bad @2": {}},
            }
        }
    }
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
