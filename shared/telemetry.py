"""Metrics of the process, and the trace context that travels with events."""

import random
from contextvars import ContextVar

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.envelope import TRACEPARENT_CHARS_MAX

REGISTRY = CollectorRegistry()
_TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
    """A counter `laurel_<name>_total`."""
    return Counter(f"laurel_{name}", text, labels, registry=REGISTRY)


def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
    """A gauge `laurel_<name>`."""
    return Gauge(f"laurel_{name}", text, labels, registry=REGISTRY)


def histogram(name: str, text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = _SECONDS) -> Histogram:
    """A histogram `laurel_<name>`."""
    return Histogram(f"laurel_{name}", text, labels, registry=REGISTRY, buckets=buckets)


BATCH_RECORDS = histogram(
    "batch_records", "Records in a batch.", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
)
BATCH_SECONDS = histogram("batch_seconds", "Time of a batch, from decoding to the commit.")
RETRIES = counter("retries", "Transactions tried again for a passing reason.", ("error",))
DEAD_LETTERS = counter("dead_letters", "Events set aside.", ("topic", "error_class"))
DEAD_LETTERS_OPEN = gauge("dead_letters_open", "Events set aside and neither replayed nor discarded.", ("error_class",))
LAG_MESSAGES = gauge("lag_messages", "Records not yet consumed.", ("topic", "partition"))
LAG_SECONDS = gauge("lag_seconds", "Age of the last consumed record while there are more.", ("topic", "partition"))
OUTBOX_ROWS = gauge("outbox_rows", "Events waiting for the relay.")
OUTBOX_SECONDS = gauge("outbox_oldest_seconds", "Age of the oldest event waiting for the relay.")
POOL_USED = gauge("pool_connections_used", "Database connections in use.")
POOL_SIZE = gauge("pool_connections", "Database connections open.")
BREAKER_OPEN = gauge("breaker_open", "1 while the service has stopped itself because too many events fail.")
CLOCK_SKEW_SECONDS = gauge("clock_skew_seconds", "How far the last event recorded in the future was ahead.")
SWEEP_SPARED = gauge("sweep_spared", "Keys that cannot be swept and are left out for some minutes; the log says why.")
LOOP_ERRORS = counter("loop_errors", "Background work that failed and will be tried again.", ("loop",))


def read_traceparent(header: str | None) -> str | None:
    """The W3C traceparent of a header if it is well-formed and an envelope can carry it, else None."""
    if header is None or len(header) > TRACEPARENT_CHARS_MAX:
        return None
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    span: SpanContext = get_current_span(context).get_span_context()
    return header if span != INVALID_SPAN_CONTEXT and span.is_valid else None


def new_traceparent() -> str:
    """A fresh trace, sampled. Its ids have to differ, not to be secret."""
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"


def current_traceparent() -> str | None:
    """The trace of what is being done, if any."""
    return _TRACEPARENT.get()


def set_traceparent(value: str | None) -> None:
    """Set the trace of the current task."""
    _TRACEPARENT.set(value)
