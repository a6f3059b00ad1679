"""Requests that nobody should send are answered as without the app, and fill no cache."""

from typing import Any

import pytest
import redis
from django.test import Client, override_settings

from cache_invalidation.metrics.counters import counters
from tests.pages.visitors import seen
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


def both(address: str, **headers: str) -> tuple[Any, Any]:
    found = []
    for plain in ({}, {"X-Plain": "1"}):
        client = Client(raise_request_exception=False)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        found.append(seen(client.get(address, headers={**named, **plain}), client))
    return found[0], found[1]


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("/products/?q=" + "x" * 100_000, {}),
        ("/products/?" + "&".join(f"p{number}=1" for number in range(10_000)), {}),
        ("/links/?" + "&".join(f"p{number}=1" for number in range(900)), {}),
        ("/products/?page=no-number", {}),
        ("/products/?page=%FF%FE&sort=%00", {}),
        ("/products/", {"Host": "nobody.example"}),
        ("/where/", {"Host": "nobody.example"}),
        ("/experiment/", {"Cookie": "ab=\xff; x; =; ab"}),
        ("/experiment/", {"Cookie": "\xff\xfe=\x00"}),
        ("/agent/", {"User-Agent": "\x00" * 10}),
    ],
)
def test_bad_requests_are_answered_as_without_the_app(address: str, headers: Any) -> None:
    for _ in range(2):
        found, right = both(address, **headers)
        assert found == right


def test_there_is_an_end_to_the_variants_of_a_page(redis_client: redis.Redis) -> None:
    counters.discard()
    with override_settings(CACHE_INVALIDATION={"VARIANT_LIMIT": 20, "CACHE_STATUS": True}):
        for number in range(50):
            found = Client().get("/agent/", headers={"User-Agent": str(number)})
        assert found.headers["Cache-Status"] == "cache_invalidation; fwd=bypass; detail=variants"
        names = [key for key in redis_client.scan_iter() if b"page:tests.shop.views.agent:" in key]
        assert len([name for name in names if b"ci:e:" in name]) <= 20 + 2
        assert counters._counts["unstored:page:tests.shop.views.agent:variants"] == 30


def test_pages_are_served_while_the_cache_is_down() -> None:
    Product.objects.create(name="boot")
    broken = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES={"default": broken}):
        for _ in range(2):
            found = Client().get("/products/")
            assert b"boot" in found.content
            assert found.headers["Cache-Status"].endswith("fwd=bypass; detail=unavailable")


def test_of_a_thousand_visitors_nearly_all_get_a_page_that_is_there() -> None:
    Product.objects.bulk_create([Product(name=f"product {number}") for number in range(4)])
    hits = 0
    for number in range(1000):
        client = Client()
        client.cookies["_ga"] = str(number)
        page, sort = number % 2 + 1, ("name", "price")[number % 3 % 2]
        found = client.get(f"/products/?page={page}&sort={sort}&utm_id={number}&utm_term={number}")
        hits += found.headers["Cache-Status"].endswith("hit")
    assert hits >= 990
