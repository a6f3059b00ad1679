"""Advice on what to keep in the memory of processes: found, and worth what was expected of it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from cache_invalidation import cached
from cache_invalidation.advice.advising import advice_on
from cache_invalidation.advice.near import HITS
from cache_invalidation.metrics import counters
from cache_invalidation.stores import get_store
from cache_invalidation.views import cache_page
from tests.advice.conftest import ROUND_TRIP, Site
from tests.advice.test_findings import figures, kinds, situation
from tests.advice.test_workloads import the
from tests.near.conftest import has_lease, in_use, keep_elsewhere, long_leases, other, until
from tests.surfaces.asking import served
from tests.testapp.models import Product

__all__ = ["in_use", "long_leases", "other"]  # Fixtures.

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 20
READS = 3 * HITS


def menu(site: Site, *, near: bool) -> Any:
    @cached(name="advice.menu", near=near)
    def menu() -> tuple[str, ...]:
        site.takes(0.1)
        return tuple(Product.objects.order_by("pk").values_list("name", flat=True))

    return menu


@pytest.fixture
def leased(redis_client: Any) -> Callable[[], None]:
    """Have this process have a lease; a site begins with an empty cache, which knows of none."""

    def begin() -> None:
        store: Any = get_store()
        store.near.lose()
        until(lambda: has_lease(store))
        redis_client.set(f"{store._near}e", f"+0@{store._servers.identity}")

    return begin


def test_near(site: Site, leased: Any):
    row = Product.objects.create(name="0")

    def work(function: Callable[[], Any]) -> None:
        leased()
        for number in range(ROUNDS):
            for _ in range(READS):
                function()
            Product.objects.filter(pk=row.pk).update(name=str(number))

    as_it_is = menu(site, near=False)  # What is not there any more is not loaded.
    before = site.run(lambda: work(as_it_is))
    finding = the("near", advice_on(before)["findings"])
    assert "+@cached(…, near=True)   # of advice.menu" in finding["patch"]
    assert finding["evidence"]["misses"] == ROUNDS
    patched = menu(site, near=True)
    after = site.run(lambda: work(patched))
    saved = after.metrics["near_hits"]["advice.menu"] * ROUND_TRIP
    assert saved == pytest.approx(finding["seconds"], rel=0.1)
    assert after.metrics["hit_rate"] == finding["expected_hit_rate"] == finding["hit_rate"]
    assert advice_on(after)["findings"] == []


def test_what_makes_writers_wait(
    site: Site, leased: Any, other: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(counters, "_microseconds", lambda seconds: 50_000)

    def work(function: Any) -> None:
        leased()
        for _ in range(2 * ROUNDS):
            function(), function()
            if function.near:
                keep_elsewhere(other, get_store().entry_place(function.key()), "advice.menu")
            function.invalidate()

    as_it_is = menu(site, near=True)
    before = site.run(lambda: work(as_it_is))
    assert before.metrics["waits_by_name"]["advice.menu"]["waits"] == 2 * ROUNDS
    finding = the("waits", advice_on(before)["findings"])
    assert "near=True" in finding["patch"]
    patched = menu(site, near=False)
    after = site.run(lambda: work(patched))
    waited = before.metrics["waits_by_name"]["advice.menu"]["seconds"]
    near_hits = before.metrics["near_hits"].get("advice.menu", 0)
    assert finding["seconds"] == pytest.approx(waited - near_hits * ROUND_TRIP)
    assert after.metrics["waits_by_name"] == {}
    assert after.metrics["hit_rate"] == finding["expected_hit_rate"] == finding["hit_rate"]
    assert advice_on(after)["findings"] == []


BUSY: Any = {"hits": 100_000, "misses": 100, "bypasses": 0, "hit_rate": 0.999}
ABLE: Any = {"grants_leases": True, "near_bytes": 10**6, "parameters": {"shop.menu": ()}}


def found(**about: Any) -> list[str]:
    given = ABLE | about
    rates, numbers = given.pop("rates", BUSY), figures(**given.pop("figures", {}))
    busy = situation(numbers, **given)
    busy.metrics["functions"]["shop.menu"] = rates
    return [each["kind"] for each in advice_on(busy)["findings"]]


def test_it_is_for_what_is_hit_a_hundred_times_for_each_miss():
    assert found() == ["near"]


@pytest.mark.parametrize(
    "about",
    [
        {"grants_leases": False},
        {"near": frozenset({"shop.menu"})},
        {"parameters": {}},
        {"figures": {"missed": {"new": 50}, "bytes": 10**6}},
        {"figures": {"seconds": 100_000.0}},
        {"round_trip": 1e-7},
    ],
    ids=["no leases", "near already", "not loaded", "too large", "a small part", "no time"],
)
def test_and_for_nothing_else(about: Any):
    assert "near" not in found(**about)


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("page:shop.views.front", "+@cache_page(…, near=True)   # of page:shop.views.front"),
        ("block:sidebar", "+{% cached … near=True %}   # of block:sidebar"),
        ("cache:menu:*", '+"OPTIONS": {…, "NEAR": ["menu:*", …]}   # of cache:menu:*'),
        ("shop.product.queries", "+.cached(…, near=True)   # of shop.product.queries"),
    ],
)
def test_it_is_for_whatever_can_be_near(name: str, patch: str):
    busy = situation({}, **ABLE)
    busy.metrics["figures"], busy.metrics["functions"] = {name: figures()}, {name: BUSY}
    (finding,) = [each for each in advice_on(busy)["findings"] if each["kind"] == "near"]
    assert finding["patch"].splitlines()[0] == patch
    assert finding["seconds"] == pytest.approx((100_000 - 10 * 100) * busy.round_trip)
    busy.metrics["near_hits"] = {name: 1}
    assert "near" not in [each["kind"] for each in advice_on(busy)["findings"]]


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("shop.menu", ["-@cached(…, near=True)   # of shop.menu", "+@cached(…)"]),
        ("page:front", ["-@cache_page(…, near=True)   # of page:front", "+@cache_page(…)"]),
        ("block:side", ["-{% cached … near=True %}   # of block:side", "+{% cached … %}"]),
        ("cache:menu:*", ['-"OPTIONS": {…, "NEAR": ["menu:*", …]}   # of cache:menu:*']),
        (
            "shop.product.queries",
            ["-.cached(…, near=True)   # of shop.product.queries", "+.cached(…)"],
        ),
    ],
)
def test_and_for_whatever_makes_writers_wait(name: str, patch: list[str]):
    busy = situation({}, **ABLE)
    busy.metrics["figures"] = {}
    busy.metrics["waits_by_name"] = {name: {"waits": 100, "seconds": 100.0}}
    (finding,) = advice_on(busy)["findings"]
    assert (finding["kind"], finding["patch"].splitlines()) == ("waits", patch)


# What a view closes over is a part of what it is, and a site changes.
_takes: list[Callable[[float], None]] = []


def page_of(site: Site, *, near: bool) -> Any:
    _takes[:] = [site.takes]

    @cache_page(300, near=near)
    def front(request: HttpRequest) -> HttpResponse:
        _takes[0](0.1)
        return HttpResponse(",".join(Product.objects.values_list("name", flat=True)))

    return front


def test_a_page(site: Site, leased: Any):
    row = Product.objects.create(name="0")

    def work(page: Any) -> None:
        leased()
        for number in range(ROUNDS):
            for _ in range(READS):
                served(page, "/")
            Product.objects.filter(pk=row.pk).update(name=str(number))

    before = site.run(lambda: work(page_of(site, near=False)))
    finding = the("near", advice_on(before)["findings"])
    assert "+@cache_page(…, near=True)" in finding["patch"]
    after = site.run(lambda: work(page_of(site, near=True)))
    (near_hits,) = after.metrics["near_hits"].values()
    assert near_hits * ROUND_TRIP == pytest.approx(finding["seconds"], rel=0.1)
    assert "near" not in [each["kind"] for each in advice_on(after)["findings"]]


def test_nor_for_what_is_missed_more_often():
    assert kinds(figures(), **ABLE) == []
