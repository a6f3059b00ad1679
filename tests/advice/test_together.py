"""Advice on what to fetch in one round trip: found, and worth what was expected of it."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from cache_invalidation import cached, cached_together
from cache_invalidation.advice import advising
from cache_invalidation.advice.advising import advice_on
from cache_invalidation.advice.together import REQUESTS
from cache_invalidation.reads import one_by_one, profiles
from tests.advice.conftest import ROUND_TRIP, Site
from tests.advice.test_findings import figures, situation
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = 20  # functions in each request
VISITS = 300
IN_COMPANY = ROUND_TRIP / 10


@cached(name="advice.price")
def price(product: int, number: int) -> str:
    return f"{number} {Product.objects.get(pk=product).name}"


def front(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse("".join(price(pk, number) for number in range(ASKED)))


urlpatterns = [
    path("front/<int:pk>/", front),
    path("together/<int:pk>/", cached_together(front)),
]


def test_what_a_view_asks_for_one_by_one(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(one_by_one, "SAMPLED", 1)
    monkeypatch.setattr(advising, "_in_company", lambda round_trip: IN_COMPANY)
    profiles.forget()
    product = Product.objects.create(name="boot")

    def visit(address: str) -> None:
        client = Client()
        for _ in range(VISITS):
            assert client.get(f"/{address}/{product.pk}/").status_code == 200

    before = site.run(lambda: visit("front"))
    (finding,) = [each for each in advice_on(before)["findings"] if each["kind"] == "together"]
    assert finding["name"] == "front/<int:pk>/"
    assert "@cached_together" in finding["patch"]
    after = site.run(lambda: visit("together"))
    got = after.metrics["fetched_together"] - after.metrics["fetched_in_vain"]
    saved = (got - VISITS) * (ROUND_TRIP - IN_COMPANY)
    assert finding["seconds"] == pytest.approx(saved, rel=0.1)
    assert after.metrics["hit_rate"] == before.metrics["hit_rate"]
    assert "together" not in [each["kind"] for each in advice_on(after)["findings"]]


@pytest.mark.parametrize(
    ("requests", "lookups", "in_company", "kinds"),
    [
        (REQUESTS, 10_000, 0.0, ["together"]),
        (REQUESTS - 1, 10_000, 0.0, []),  # That is chance.
        (REQUESTS, 2 * REQUESTS, 0.0, []),  # It takes too little time.
        (10_000, 10_000, 0.0, []),  # The block would take as long.
        (REQUESTS, 10_000, 0.001, []),  # A round trip more takes no longer.
    ],
)
def test_it_has_to_be_worth_it(requests: int, lookups: int, in_company: float, kinds: list[str]):
    found = situation(figures(), round_trip=0.001, in_company=in_company)
    found.metrics["could_be_together"] = {"a/": {"requests": requests, "lookups": lookups}}
    assert [each["kind"] for each in advice_on(found)["findings"]] == kinds
