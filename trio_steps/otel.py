"""OpenTelemetry: spans and metrics of what runs. It needs the extra ``trio_steps[otel]``.

It uses only ``opentelemetry-api``. The SDK that the application sets up decides where spans and metrics go.
"""

from ._observers.metrics import Metrics
from ._observers.tracing import Tracing

__all__ = ["Metrics", "Tracing"]
