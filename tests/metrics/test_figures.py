"""What is measured of each name: why it missed, what it costs, what it saves."""

from collections.abc import Callable
from time import time
from typing import Any

import pytest
from django.core.cache import caches
from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from cache_invalidation import cached, invalidate
from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.metrics import notes
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.figures import Figures
from cache_invalidation.metrics.report import read_metrics, read_minutes, reset_metrics
from cache_invalidation.reads import dependencies, measured
from cache_invalidation.stores import django_counters, get_store, messages
from cache_invalidation.stores.messages import MARK_SIZE, MARKS
from cache_invalidation.stores.redis import counters as redis_counters
from tests.stores.conftest import cluster, cluster_alias, memcached, memcached_alias
from tests.testapp.models import Category

__all__ = ["cluster", "memcached"]  # Fixtures.

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["default", "locmem", "redis_django", "dbcache", "cluster", "memcached"])
def alias(request: pytest.FixtureRequest, settings: Any) -> str:
    """Each kind of store in turn, with nothing in it."""
    name: str = request.param
    if name == "cluster":
        made = cluster_alias(request.getfixturevalue("cluster"))
        settings.CACHES = settings.CACHES | {name: made}
    elif name == "memcached":
        made = memcached_alias(request.getfixturevalue("memcached"))
        settings.CACHES = settings.CACHES | {name: made}
    settings.CACHE_INVALIDATION |= {"CACHE": name}
    caches[name].clear()
    get_store().reset_counters()
    counters.discard()
    return name


@pytest.fixture(autouse=True)
def every_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count of each fill whether it is ever hit."""
    monkeypatch.setattr(measured, "SAMPLED", 1)


@cached(tags=["shelf:{number}"], name="shop.shelf", timeout=300)
def shelf(number: int, value: Any = "value") -> Any:
    if value == "raises":
        raise ZeroDivisionError
    return [value, number]


NAME = "shop.shelf"


def figures(name: str = NAME) -> Figures:
    return read_metrics()["figures"][name]


def missed() -> dict[str, int]:
    return figures()["missed"]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have so many seconds gone by, as far as notes are concerned."""
    return lambda seconds: monkeypatch.setattr(notes, "time", lambda: time() + seconds)


def lose(number: int) -> None:
    """Have the entry gone, as if it were evicted or had expired."""
    store = get_store()
    place = store.entry_place(shelf.key(number))
    entry = store.lookup(place, ()).entry
    assert entry is not None
    store.discard(place, entry.seal)


def test_what_was_never_stored_is_new(alias: str):
    shelf(1)
    shelf(2)
    shelf(1)
    assert missed() == {"new": 2}


def test_what_is_gone_before_its_time_is_evicted(alias: str):
    shelf(1)
    lose(1)
    shelf(1)
    assert missed() == {"new": 1, "evicted": 1}
    lose(1)
    shelf(1)
    assert missed() == {"new": 1, "evicted": 2}


def test_what_is_gone_in_its_time_has_expired(alias: str, later: Callable[[float], None]):
    shelf(1)
    lose(1)
    later(299.6)
    shelf(1)
    assert missed() == {"new": 1, "expired": 1}


def test_what_is_kept_for_ever_never_expires(later: Callable[[float], None]):
    @cached(timeout=None, name=NAME)
    def kept() -> int:
        return 1

    kept()
    store: Any = get_store()
    store.discard((place := store.entry_place(kept.key())), store.lookup(place, ()).entry.seal)
    later(10.0**9)
    kept()
    assert missed() == {"new": 1, "evicted": 1}


def test_what_a_tag_has_dropped_is_invalidated(alias: str):
    shelf(1)
    shelf(2)
    invalidate(tags=["shelf:1"])
    shelf(1)
    shelf(1)
    shelf(2)
    assert missed() == {"new": 2, "invalidated": 1}
    assert figures()["dropped_by"] == {"shelf:{}": 1}


def test_a_version_that_somebody_else_has_renewed_has_changed_all_the_same(
    alias: str, monkeypatch: pytest.MonkeyPatch
):
    met: dict[bytes, int] = {}
    # Otherwise one of 256 would look the same.
    monkeypatch.setattr(messages, "crc32", lambda data: met.setdefault(data, len(met)))

    @cached(tags=["shelf:{number}"], name="other")
    def other(number: int) -> int:
        return number

    shelf(1)
    other(1)
    invalidate(tags=["shelf:1"])
    other(1)
    shelf(1)
    assert figures()["dropped_by"] == {"shelf:{}": 1}


def test_a_whole_family_and_everything_are_told_apart_from_one_of_it(alias: str):
    shelf(1)
    for tag in ("shelf:*", "*", "shelf:1"):
        invalidate(tags=[tag])
        shelf(1)
    assert figures()["dropped_by"] == {"*": 1, "shelf:*": 1, "shelf:{}": 1}


def test_what_was_invalidated_by_its_name_is_neither_evicted_nor_expired(alias: str):
    shelf(1)
    shelf.invalidate(1)
    shelf(1)
    assert missed() == {"new": 1, "by_name": 1}
    lose(1)  # The mark of that is still there.
    shelf(1)
    assert missed() == {"new": 1, "by_name": 1, "evicted": 1}


def test_what_could_not_be_stored_is_missed_for_that(alias: str):
    with pytest.raises(ZeroDivisionError):
        shelf(1, "raises")
    with pytest.raises(ZeroDivisionError):
        shelf(1, "raises")
    assert missed() == {"new": 1, "not_stored": 1}
    assert read_metrics()["not_stored"] == {NAME: {"exception": 2}}


def test_that_nothing_was_stored_takes_nothing_away_that_is(alias: str):
    shelf(1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        invalidate(tags=["shelf:1"])
        shelf(1)
        raise ZeroDivisionError
    lose(1)
    shelf(1)
    assert missed() == {"new": 1, "evicted": 1}


def test_two_entries_at_one_place_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(notes, "NOTES", 1)
    shelf(1)
    shelf(2)
    lose(1)
    shelf(1)
    assert missed() == {"new": 1, "unknown": 2}


def test_who_tells_later_has_missed_for_the_same_cause():
    """Two processes miss the same at the same moment, and both fill it."""
    first, second = counters.__class__(), counters.__class__()
    for each in (first, second):
        each.flush_at = float("inf")
        each.note(notes.missed(NAME, "place", ""))
    for each in (first, second):
        each.note(notes.kept("place", 300, ""))
    first.flush()
    second.flush()
    assert missed() == {"new": 2}


def test_what_cannot_be_read_is_counted_as_such(redis_client: Any):
    shelf(1)
    name = redis_client.keys("*:ci:e:*shelf*")[0]
    raw = redis_client.get(name)
    redis_client.set(name, raw[: 10 + raw[9]] + b"\x80unreadable")
    shelf(1)
    assert missed() == {"new": 1, "unreadable": 1}


def test_each_miss_has_a_cause_and_each_minute_has_them(alias: str):
    for number in (1, 2, 1, 3):
        shelf(number)
    invalidate(tags=["shelf:1"])
    shelf(1)
    metrics = read_metrics()
    assert sum(metrics["figures"][NAME]["missed"].values()) == metrics["misses"] == 4
    for name in (None, NAME):
        found = read_minutes(3, name=name)
        assert sum(minute["missed"].get("new", 0) for minute in found) == 3
        assert sum(minute["missed"].get("invalidated", 0) for minute in found) == 1
        assert sum(minute["misses"] for minute in found) == 4
    assert all(minute["missed"] == {} for minute in read_minutes(3, name="other"))


def test_a_value_that_comes_out_the_same_was_dropped_for_nothing(alias: str):
    shelf(1)
    for _ in range(3):
        invalidate(tags=["shelf:1"])
        shelf(1)
    invalidate(tags=["shelf:1"])
    shelf.uncached(1)
    found = figures()
    assert (found["compared_refills"], found["equal_refills"]) == (3, 3)
    assert found["equal_after"] == {"shelf:{}": 3}


def test_a_value_that_has_changed_was_not():
    values = iter(range(9))

    @cached(tags=["shelf:1"], name=NAME, sample=0.0001)
    def changing() -> int:
        return next(values)

    changing()
    invalidate(tags=["shelf:1"])
    changing()
    found = figures()
    assert (found["compared_refills"], found["equal_refills"]) == (1, 0)
    assert found["equal_after"] == {}


def test_the_call_that_is_kept_with_a_value_makes_no_difference():
    @cached(tags=["shelf:1"], name=NAME, sample=0.0001)
    def same(number: int) -> int:
        return 7

    same(1)
    invalidate(tags=["shelf:1"])
    same(1)
    assert figures()["equal_refills"] == 1


def test_fills_and_bytes_and_whether_they_were_hit(alias: str):
    for number in (1, 1, 1, 2, 3):
        shelf(number)
    found = figures()
    assert (found["fills"], found["sampled_fills"], found["hit_fills"]) == (3, 3, 1)
    shelf(1)
    assert figures()["hit_fills"] == 1
    invalidate(tags=["shelf:1"])
    shelf(1)
    assert figures()["hit_fills"] == 1
    shelf(1)
    found = figures()
    assert (found["fills"], found["hit_fills"]) == (4, 2)
    assert found["bytes"] == sum(len(get_store().encode(["value", n])) for n in (1, 1, 2, 3))


def test_what_is_kept_of_hits_does_not_grow_with_writes(alias: str):
    """Another process may tell late that it has hit what was there before."""
    marks = [("page", bytes([fill]) * MARK_SIZE, 3600.0) for fill in range(100)]
    store = get_store()
    assert all(store.mark_first(marks))
    assert store.mark_first(marks[-MARKS:]) == [False] * MARKS
    assert store.mark_first([*marks[:1], ("other", marks[-1][1], 3600.0)]) == [True, True]


def test_there_is_one_key_for_each_entry_that_is_hit(redis_client: Any):
    for number in range(30):
        shelf(1), shelf(1)
        invalidate(tags=["shelf:1"])
        if number % 7 == 0:
            counters.flush()
    found = figures()
    assert (found["fills"], found["hit_fills"]) == (30, 30)
    assert len(list(redis_client.scan_iter("*ci:h:*"))) == 1


def test_of_most_fills_it_is_not_counted_whether_they_are_hit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measured, "SAMPLED", 10**9)
    shelf(1)
    shelf(1)
    found = figures()
    assert (found["fills"], found["sampled_fills"], found["hit_fills"]) == (1, 0, 0)


def test_seconds_are_those_of_computing(alias: str, monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.004, 0.004, 0.005, 10, 10, 10, 10.5, 10.5, 10.5])
    monkeypatch.setattr(dependencies, "perf_counter", lambda: next(clock))
    shelf(1)  # 4 ms, and another to encode it.
    for _ in range(9):
        shelf(1)
    found = figures()
    assert (found["computed"], found["seconds"], found["saved"]) == (1, 0.005, 0.045)
    assert (found["p50"], found["p95"]) == (0.005, 0.005)


def test_what_is_not_stored_is_computed_as_well():
    with pytest.raises(ZeroDivisionError):
        shelf(1, "raises")
    found = figures()
    assert (found["computed"], found["fills"], found["saved"]) == (1, 0, 0)


def test_writes_are_counted_by_what_they_drop_and_where(client, settings):
    settings.ROOT_URLCONF = __name__
    client.get("/shelves/3/")
    client.get("/shelves/4/")
    invalidate(tags=["shelf:1", "shelf:2", "shelf:*", "front"], entity_type="desk")
    assert read_metrics()["dropped"] == [
        {
            "tag": "shelf:{}",
            "entity_type": "shelf",
            "cause": "manual",
            "route": "shelves/<int:number>/",
            "deliveries": 2,
        },
        *[
            {"tag": tag, "entity_type": "desk", "cause": "manual", "route": "", "deliveries": 1}
            for tag in ("front", "shelf:*")
        ],
    ]


def _write(request: Any, number: int) -> Any:
    invalidate(tags=[f"shelf:{number}"], entity_type="shelf")
    return HttpResponse()


urlpatterns = [path("shelves/<int:number>/", _write)]


def test_a_model_is_told_by_its_rows_and_its_table():
    category = Category.objects.create(name="a")

    @cached(name=NAME)
    def name() -> Any:
        return Category.objects.get(pk=category.pk).name

    @cached(name="all")
    def names() -> Any:
        return [each.name for each in Category.objects.all()]

    name(), names()
    category.name = "b"
    category.save()
    name(), names()
    assert figures()["dropped_by"] == {"testapp.category:{}": 1}
    assert figures("all")["dropped_by"] == {"testapp.category": 1}
    tags = {drop["tag"]: drop["cause"] for drop in read_metrics()["dropped"]}
    assert tags["testapp.category"] == tags["testapp.category:{}"]


def test_a_reset_forgets_all_of_it(alias: str):
    shelf(1)
    shelf(1)
    invalidate(tags=["shelf:1"])
    shelf(1)
    reset_metrics()
    metrics = read_metrics()
    assert (metrics["figures"], metrics["dropped"], metrics["details_left_out"]) == ({}, [], 0)
    shelf(2)
    assert missed() == {"new": 1}


def test_details_are_bounded_and_say_what_was_left_out(alias: str, monkeypatch: pytest.MonkeyPatch):
    for module in (django_counters, redis_counters):
        monkeypatch.setattr(module, "DETAILS", 5)
    store = get_store()
    store.count({}, details={f"fills\t{number}": 2 for number in range(4)})
    store.count({}, details={f"fills\t{number}": 2 for number in range(9)})
    found = store.details()
    assert found.pop("") == 4
    assert found == {f"fills\t{number}": 4 for number in range(4)} | {"fills\t4": 2}
    assert read_metrics()["details_left_out"] == 4


def test_a_server_that_refuses_to_tell_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any) -> Any:
        raise StoreRefused("no permission")

    shelf(1)
    shelf(1)
    for step in ("notes", "mark_first"):
        monkeypatch.setattr(get_store(), step, refuse)
    found = figures()
    assert (found["missed"], found["fills"], found["hit_fills"]) == ({"unknown": 1}, 1, 0)
    assert read_metrics()["hits"] == 1


@pytest.mark.parametrize("step", ["notes", "mark_first", "count"])
def test_a_store_that_fails_at_any_step_loses_no_figure(
    alias: str, step: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("away")

    shelf(1)
    shelf(1)
    invalidate(tags=["shelf:1"])
    with monkeypatch.context() as patch:
        patch.setattr(get_store(), step, fail)
        counters.flush()
        counters.flush()
    shelf(2)
    lose(2)
    shelf(2)
    found = figures()
    assert (found["missed"], found["fills"], found["hit_fills"]) == ({"new": 2, "evicted": 1}, 3, 1)
    assert {drop["tag"]: drop["deliveries"] for drop in read_metrics()["dropped"]} == {
        "shelf:{}": 1
    }
