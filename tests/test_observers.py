"""Those who watch how the cache is used, and what they are told."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.core.cache import caches

from cache_invalidation import cached, invalidate, unit_of_work
from cache_invalidation import observers as watching
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_recent
from cache_invalidation.metrics.writers import last_delivery_of
from cache_invalidation.observers import Computed, Lookup, Observer, Work, observers
from tests.outages import Use, down, use
from tests.testapp.models import Product

__all__ = ["down", "use"]

pytestmark = pytest.mark.django_db(transaction=True)


class Listener(Observer):
    def __init__(self) -> None:
        self.lookups: list[Lookup] = []
        self.values: list[Computed] = []
        self.work: list[str] = []

    def looked(self, lookup: Lookup) -> None:
        self.lookups.append(lookup)

    def computed(self, computed: Computed) -> None:
        self.values.append(computed)

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        self.work.append(f"{what} begins")
        try:
            yield
        finally:
            self.work.append(f"{what} ends")

    def doing(self, work: Work, name: str) -> AbstractContextManager[None]:
        return self._noting(f"{work} {name}")

    def about_write(self) -> Mapping[str, str]:
        return {"trace": "here"}


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    watching._failed.clear()
    observers.append(found)
    yield found
    observers.remove(found)


@cached(tags="watched:{pk}", name="watched")
def function(pk: int) -> int:
    return pk


def test_a_miss_a_hit_and_what_was_dropped(listener: Listener) -> None:
    function(1)
    function(1)
    invalidate(tags=["watched:1"])
    function(1)
    told = [(found.name, found.outcome, found.cause) for found in listener.lookups]
    assert told == [
        ("watched", "misses", "gone"),
        ("watched", "hits", ""),
        ("watched", "misses", "invalidated"),
    ]
    _, hit, miss = listener.lookups
    assert "watched:1" in hit.tags
    assert miss.dropped == ("watched:1",)
    assert miss.seconds > 0
    assert [found.reasons for found in listener.values] == [(), ()]
    assert "watched:1" in listener.values[0].tags


def test_work_is_told_of_around_it(listener: Listener) -> None:
    @cached(name="outer")
    def outer() -> int:
        listener.work.append("outer is called")
        return Product.objects.count()

    outer()
    assert listener.work == [
        "compute outer begins",
        "outer is called",
        "compute outer ends",
        "encode outer begins",
        "encode outer ends",
    ]
    listener.work.clear()
    Product.objects.create(name="Tea")
    assert listener.work[:2] == ["fence default begins", "fence default ends"]


def test_why_something_was_not_stored(listener: Listener) -> None:
    @cached(tags="raising", name="raising")
    def raising() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        raising()
    assert [found.reasons for found in listener.values] == [("exception",)]


def test_a_cache_that_is_down_is_a_bypass(listener: Listener, down: Use) -> None:
    function(2)
    assert [found.outcome for found in listener.lookups] == ["bypasses"]
    assert [found.reasons for found in listener.values] == [("unavailable",)]


def test_what_is_set_under_a_tracked_key(listener: Listener, settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "tracked", "METRICS_FLUSH_INTERVAL": 3600}
    with unit_of_work():
        if caches["tracked"].get("product:1") is None:
            caches["tracked"].set("product:1", Product.objects.count())
    assert [found.outcome for found in listener.lookups] == ["misses"]
    (value,) = listener.values
    assert value.name == "cache:product:*"
    assert value.reasons == ()
    assert "testapp.product" in value.tags


def test_observers_that_raise_change_nothing(
    listener: Listener, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*facts: object) -> Any:
        raise ValueError("an observer")

    for name in ("looked", "computed", "doing", "about_write"):
        monkeypatch.setattr(listener, name, fail)
    for _ in range(2):
        assert function(3) == 3
        assert function(4) == 4
        Product.objects.create(name="Tea")
    assert read_recent(1)[0]["entity_type"] == "testapp.product"
    told = [record.getMessage() for record in caplog.records]
    assert sorted(told) == [  # Each once.
        "Listener failed, in about_write().",
        "Listener failed, in computed().",
        "Listener failed, in doing().",
        "Listener failed, in looked().",
    ]


class Bad:
    """A block that fails when it begins, or ends, or keeps errors to itself."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __enter__(self) -> None:
        if self.how == "begins":
            raise ValueError("an observer")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if self.how == "ends":
            raise ValueError("an observer")
        if self.how == "raises it again" and error is not None:
            raise error
        return True


@pytest.mark.parametrize("how", ["begins", "ends", "raises it again", "swallows"])
def test_a_block_that_fails_changes_nothing_and_the_others_end(
    listener: Listener, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    class Worse(Observer):
        def doing(self, work: Work, name: str) -> Any:
            return Bad(how)

    @cached(tags="raising", name="raising")
    def raising() -> None:
        raise LookupError

    worse = Worse()
    observers.append(worse)
    try:
        assert function(8) == 8
        Product.objects.create(name="Tea")
        with pytest.raises(LookupError):
            raising()
    finally:
        observers.remove(worse)
    begun = [each for each in listener.work if each.endswith("begins")]
    assert len(begun) == 4
    assert len(listener.work) == 2 * len(begun)
    assert caplog.text.count("failed, in doing()") == (how in ("begins", "ends"))


def test_what_an_observer_says_of_a_write_is_text(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "about_write", lambda: {"trace": object, 7: b"x"})
    invalidate(tags=["watched:9"])
    counters.flush()
    found: Any = read_recent(1)[0]
    assert (found["trace"], found["7"]) == (str(object), "b'x'")


def test_a_delivery_says_what_observers_have_to_say(listener: Listener) -> None:
    invalidate(tags=["watched:4"])
    assert read_recent(1)[0]["trace"] == "here"


def test_the_write_that_has_dropped_a_tag_is_found_before_the_flush_and_after() -> None:
    invalidate(tags=["watched:5"], entity_type="first")
    invalidate(tags=["watched:5"], entity_type="second")
    invalidate(tags=["watched:6"], entity_type="another")
    for _ in range(2):
        found = last_delivery_of(["watched:5", "watched:7"])
        assert found is not None
        assert found["entity_type"] == "second"
        counters.flush()
    assert last_delivery_of(["watched:7"]) is None
