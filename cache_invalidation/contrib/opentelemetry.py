"""For OpenTelemetry; the extra ``opentelemetry``.

A span for each lookup, each computation and each fence. Call `instrument` once, when the process
starts, such as in `AppConfig.ready`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from time import time_ns
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.labels import labels
from cache_invalidation.metrics.writers import last_delivery_of
from cache_invalidation.observers import Computed, Lookup, Observer, Work, observers

_OUTCOMES: Final = {"hits": "hit", "misses": "miss", "bypasses": "bypass"}

_traceparent = TraceContextTextMapPropagator()


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Have what this process does traced from now on; by the global provider, if no other is given.

    What was traced by another provider no longer is.
    """
    uninstrument()
    observers.append(Tracing(trace.get_tracer("cache_invalidation", None, tracer_provider)))


def uninstrument() -> None:
    """Have nothing traced from now on."""
    observers[:] = [each for each in observers if not isinstance(each, Tracing)]


class Tracing(Observer):
    """Makes spans of what it is told. Neither keys nor tags with values in them are part of one."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def looked(self, lookup: Lookup) -> None:
        """Make a span of it that ends now. A miss is linked to the write that has caused it."""
        ended = time_ns()
        attributes = {
            "cache_invalidation.name": lookup.name,
            "cache_invalidation.outcome": _OUTCOMES[lookup.outcome],
        }
        span = self.tracer.start_span(
            f"cache lookup {lookup.name}",
            attributes=attributes,
            start_time=ended - round(lookup.seconds * 1_000_000_000),
        )
        try:
            if lookup.cause and span.is_recording():
                span.set_attribute("cache_invalidation.cause", lookup.cause)
                span.set_attribute("cache_invalidation.dropped", sorted(labels(lookup.dropped)))
                if (write := _write_of(lookup)) is not None:
                    span.add_link(write)
        finally:
            span.end(ended)

    def computed(self, computed: Computed) -> None:
        """Say in the span around it, the caller's, why a value was not stored."""
        if computed.reasons:
            attributes = {
                "cache_invalidation.name": computed.name,
                "cache_invalidation.reasons": computed.reasons,
            }
            trace.get_current_span().add_event("cache not stored", attributes)

    def doing(self, work: Work, name: str) -> AbstractContextManager[object]:
        """Return a span, which those of queries and of inner lookups are children of."""
        about = "cache_invalidation.using" if work == "fence" else "cache_invalidation.name"
        return self.tracer.start_as_current_span(f"cache {work} {name}", attributes={about: name})

    def about_write(self) -> Mapping[str, str]:
        """Have misses of any process find the span that this write is part of."""
        found: dict[str, str] = {}
        _traceparent.inject(found)
        return {"trace": found["traceparent"]} if found else {}


def _write_of(lookup: Lookup) -> SpanContext | None:
    """Return the span of the last write that has dropped what was missed, if it is known."""
    if not lookup.dropped:
        return None
    with suppress(CacheInvalidationError):
        write = last_delivery_of(lookup.dropped)
        if write is not None and (told := write.get("trace")):
            context = _traceparent.extract({"traceparent": told})
            found = trace.get_current_span(context).get_span_context()
            return found if found.is_valid else None
    return None
