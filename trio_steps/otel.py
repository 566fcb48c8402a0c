"""OpenTelemetry: spans and metrics of what runs. It needs the extra ``trio_steps[otel]``.

It uses ``opentelemetry-api`` alone. What becomes of spans and metrics is up to the SDK that the application sets up.
"""

from ._observers.metrics import Metrics
from ._observers.tracing import Tracing

__all__ = ["Metrics", "Tracing"]
