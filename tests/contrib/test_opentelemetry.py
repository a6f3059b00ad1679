"""Spans of what the cache does, in an exporter that keeps them in memory."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from cache_invalidation import cached, invalidate
from cache_invalidation.contrib.opentelemetry import instrument, uninstrument
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_recent
from cache_invalidation.observers import observers
from tests.outages import Use, down, use
from tests.testapp.models import Product

__all__ = ["down", "use"]

pytestmark = pytest.mark.django_db(transaction=True)


class Spans:
    """What was traced, by the names of spans; each is there once it has ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def tracer(self) -> Tracer:
        """What the project makes spans of its own with."""
        return self.provider.get_tracer("tests")

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    found = Spans()
    instrument(found.provider)
    yield found
    uninstrument()


@cached(tags="traced:{pk}", name="traced")
def function(pk: str) -> str:
    return pk


def about(span: ReadableSpan) -> dict[str, object]:
    prefix = "cache_invalidation."
    return {name.removeprefix(prefix): value for name, value in (span.attributes or {}).items()}


def test_a_lookup_is_a_span_that_says_what_came_of_it(spans: Spans) -> None:
    function("secret")
    function("secret")
    miss, hit = spans.named("cache lookup traced")
    assert about(miss) == {"name": "traced", "outcome": "miss", "cause": "gone", "dropped": ()}
    assert about(hit) == {"name": "traced", "outcome": "hit"}
    assert miss.start_time
    assert miss.end_time
    assert miss.start_time <= miss.end_time


def test_what_is_computed_has_its_own_inside(spans: Spans) -> None:
    @cached(name="outer")
    def outer() -> int:
        with spans.tracer.start_as_current_span("query"):
            return Product.objects.count()

    with spans.tracer.start_as_current_span("request"):
        outer()
    request, compute = spans.only("request"), spans.only("cache compute outer")
    assert spans.only("query").parent == compute.context
    assert compute.parent == request.context
    assert spans.only("cache lookup outer").parent == request.context
    assert spans.only("cache encode outer").parent == request.context


def test_a_coroutine_has_its_own_inside(spans: Spans) -> None:
    @cached(tags=["coroutine"], name="coroutine")
    async def coroutine() -> int:
        with spans.tracer.start_as_current_span("waiting"):
            await asyncio.sleep(0)
        return 1

    async def request() -> None:
        with spans.tracer.start_as_current_span("request"):
            await coroutine()

    asyncio.run(request())
    compute = spans.only("cache compute coroutine")
    assert spans.only("waiting").parent == compute.context
    assert compute.parent == spans.only("request").context
    assert spans.only("cache lookup coroutine").parent == spans.only("request").context


def test_what_raises_is_an_error_and_not_stored(spans: Spans) -> None:
    @cached(tags=["raising"], name="raising")
    def raising() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError), spans.tracer.start_as_current_span("request"):
        raising()
    assert not spans.only("cache compute raising").status.is_ok
    event = next(each for each in spans.only("request").events if each.name == "cache not stored")
    assert event.attributes == {
        "cache_invalidation.name": "raising",
        "cache_invalidation.reasons": ("exception",),
    }


def test_a_fence_is_a_span(spans: Spans) -> None:
    with spans.tracer.start_as_current_span("request"):
        Product.objects.create(name="Tea")
    fence = spans.only("cache fence default")
    assert about(fence) == {"using": "default"}
    assert fence.parent == spans.only("request").context


@pytest.mark.parametrize("flushed", [False, True])
def test_a_miss_is_linked_to_the_write_that_has_caused_it(spans: Spans, flushed: bool) -> None:
    function("1")
    with spans.tracer.start_as_current_span("write"):
        invalidate(tags=["traced:1"])
    with spans.tracer.start_as_current_span("another write"):
        invalidate(tags=["traced:2"])
    if flushed:
        counters.flush()  # Any other process finds it from now on.
    function("1")
    miss = spans.named("cache lookup traced")[-1]
    write = spans.only("write").context
    (link,) = miss.links
    assert write is not None
    assert (link.context.trace_id, link.context.span_id) == (write.trace_id, write.span_id)
    assert about(miss)["dropped"] == ("traced:{}",)


def test_a_write_outside_of_any_trace_is_no_link(spans: Spans) -> None:
    function("1")
    invalidate(tags=["traced:1"])
    function("1")
    assert "trace" not in read_recent(1)[0]
    assert spans.named("cache lookup traced")[-1].links == ()


def test_nothing_tells_a_key_or_the_value_in_a_tag(spans: Spans) -> None:
    function("secret")
    with spans.tracer.start_as_current_span("write"):
        invalidate(tags=["traced:secret"], keys=["secret"])
    function("secret")
    told = "".join(span.to_json() for span in spans.exporter.get_finished_spans())
    assert "traced" in told
    assert "secret" not in told


def test_a_cache_that_is_down_is_a_bypass(spans: Spans, down: Use) -> None:
    assert function("1") == "1"
    assert about(spans.only("cache lookup traced"))["outcome"] == "bypass"


def test_nobody_watches_twice_or_any_more(spans: Spans) -> None:
    before = list(observers)
    instrument(spans.provider)
    assert len(observers) == len(before)
    uninstrument()
    function("1")
    assert not spans.named("cache lookup traced")
