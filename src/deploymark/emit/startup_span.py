"""The span `deploymark.startup`: the beginning of a process, where a trace shows it.

Only the API of OpenTelemetry, which the application has loaded already. An application usually
sets its tracer provider after it has called us, so this waits a little for it, on the thread of
the confirmation.
"""

import threading
from collections.abc import Mapping
from typing import Final

from opentelemetry import trace

from deploymark.model.vocabulary import STARTUP_SPAN

WAIT_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.1
_NANOSECONDS: Final = 1_000_000


def record_startup(
    started_ms: int, confirmed_ms: int, attributes: Mapping[str, str], ending: threading.Event
) -> bool:
    """Record the span once somebody records spans at all; returns whether it was.

    Args:
        started_ms: When the confirmation began, milliseconds since the Unix epoch.
        confirmed_ms: When the marker was kept.
        attributes: Of the span.
        ending: Set when the process ends: then nobody waits.
    """
    waited = 0.0
    while True:
        # Before a provider is set the API gives one that hands on to whatever comes.
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            break
        if waited >= WAIT_SECONDS or ending.wait(_STEP_SECONDS):
            return False
        waited += _STEP_SECONDS
    span = trace.get_tracer("deploymark").start_span(
        STARTUP_SPAN, start_time=started_ms * _NANOSECONDS, attributes=dict(attributes)
    )
    span.end(confirmed_ms * _NANOSECONDS)
    return span.is_recording() or span.get_span_context().is_valid
