"""Spans that are kept in memory, and helpers to read them."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trio_steps.otel import Tracing

SECOND = 1_000_000_000


def run_virtually(main: Any, start: float = 0) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    clock.jump(start)
    trio.run(main, clock=clock)


class Books(SpanProcessor):
    """The spans that were started and have not ended."""

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
        """The span of the step with this full name, of its attempt "name @1", or of the user's with this name."""
        [span] = [span for span in self.spans if title(span) in (name, f"[{name}]")]
        return span

    def tree(self, parent: Any = None) -> dict[str, Any]:
        """The names of spans, nested by parent; the user's in brackets."""
        id = None if parent is None else parent.context.span_id
        inside = [span for span in self.spans if (span.parent and span.parent.span_id) == id]
        inside.sort(key=lambda span: (span.start_time, title(span)))
        return {title(span): self.tree(span) for span in inside}


def title(span: Any) -> str:
    """The name of a span in these tests."""
    attempt = span.attributes.get("trio_steps.attempt.number")
    return said(span).get("name", f"[{span.name}]") + ("" if attempt is None else f" @{attempt}")


def said(span: Any) -> dict[str, Any]:
    """The attributes about a step, without the namespace."""
    start = "trio_steps.step."
    return {key.removeprefix(start): value for key, value in span.attributes.items() if key.startswith(start)}


def events(span: Any) -> list[tuple[str, int, dict[str, Any]]]:
    """The events of a span: name, seconds after the start of the span, attributes."""
    return [
        (event.name, (event.timestamp - span.start_time) / SECOND, dict(event.attributes or {}))
        for event in span.events
    ]
