"""Spans to an OpenTelemetry collector over OTLP. A local stand-in shows what a collector would get."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trio
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from trio_steps import Retry, observing, race, step
from trio_steps.otel import Tracing


class Collector(BaseHTTPRequestHandler):
    """Takes what an exporter posts to http://localhost:4318/v1/traces, where a real collector listens."""

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for of_resource in request.resource_spans:
            service = of_resource.resource.attributes[0].value.string_value
            spans = [span for scope in of_resource.scope_spans for span in scope.spans]
            names = {span.span_id: span.name for span in spans}
            for span in sorted(
                spans, key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano, span.name)
            ):
                outcome = [item.value.string_value for item in span.attributes if item.key.endswith("outcome")]
                print(f"{service}: {names.get(span.parent_span_id, '-'):6} > {span.name}: {', '.join(outcome)}")
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


tries = iter([OSError("busy")])


@step(retry=Retry(2, delay=0.05, on=OSError))
async def near() -> str:
    await trio.sleep(0.05)
    for error in tries:
        raise error
    return "the page"


async def far() -> str:
    await trio.sleep(30)
    return "the page, later"


async def main(endpoint: str) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "pages"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    trace.set_tracer_provider(provider)
    with observing(Tracing()):
        print(await race(near, far))
    await trio.to_thread.run_sync(provider.shutdown)  # it sends the rest, in a thread, so that Trio is not blocked


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        trio.run(main, f"http://127.0.0.1:{server.server_port}/v1/traces")
        server.shutdown()
