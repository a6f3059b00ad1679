"""What is cached, by the names that people give it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.test import Client, override_settings
from django.urls import path

from cache_invalidation import cached
from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations import names
from cache_invalidation.operations.actions import Request, invalidate
from cache_invalidation.operations.audit import Operator
from cache_invalidation.operations.names import KnownNames, Named
from cache_invalidation.operations.overview import overview
from cache_invalidation.views import cache_page
from tests.outages import down, use
from tests.testapp.models import Product

__all__ = ["down", "use"]

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

OPERATOR = Operator(name="me", origin=AuditEntry.Origin.COMMAND)

calls: list[Any] = []


@cached
def menu(language: str) -> int:
    calls.append(language)
    return len(calls)


@cached
def around(language: str) -> str:
    return f"{menu(language)}!"


@cached(tags=[], name="names: with a colon")
def odd() -> int:
    calls.append("odd")
    return len(calls)


@cache_page()
def shop(request: HttpRequest, pk: int) -> HttpResponse:
    calls.append(request.path)
    return HttpResponse(f"{len(calls)} {Product.objects.count()}")


urlpatterns = [path("shop/<int:pk>/", shop)]

ENGINE = Engine(libraries={"ours": "cache_invalidation.templatetags.cache_invalidation"})
BLOCK = ENGINE.from_string("{% load ours %}{% cached %}{{ count }}{% endcached %}")


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    counters.discard()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["cache_invalidation.middleware.CachePageMiddleware"],
    ):
        yield
    counters.discard()


def drop(*names: str) -> tuple[str, ...]:
    known = KnownNames()
    found = [named for name in names for named in known.find(name)]
    return invalidate(Request(names=found), OPERATOR).tags


def test_all_values_of_a_function_go_and_those_of_others_stay():
    before = menu("en"), menu("de"), odd()
    assert drop(f"{__name__}.menu") == (f"{__name__}.menu()",)
    after = menu("en"), menu("de"), odd()
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert after[2] == before[2]


def test_what_is_made_of_a_function_goes_with_it():
    before = around("fr")
    drop(f"{__name__}.menu")
    assert around("fr") != before


def test_what_another_function_reads_of_it_stays():
    before = menu("es"), around("es")
    drop(f"{__name__}.around")
    assert (menu("es"), around("es")) == before


def test_any_name_will_do():
    before = odd()
    assert drop("names: with a colon") == ("names%3A with a colon()",)
    assert odd() != before


@pytest.mark.parametrize(
    "name", [f"{__name__}.shop", f"page:{__name__}.shop", "/shop/1/", "page:/shop/1/"]
)
def test_pages_go_by_their_view_and_by_their_path(name):
    client = Client()
    before = client.get("/shop/1/").content
    assert client.get("/shop/1/").content == before, "it is not cached, so this proves nothing"
    drop(name)
    assert client.get("/shop/1/").content != before


def test_pages_and_blocks_are_in_the_registry_with_what_they_read():
    Client().get("/shop/1/")
    assert BLOCK.render(Context({"count": Product.objects.all()}))
    found = overview(Product)
    assert {"page": f"{__name__}.shop", "found": ["testapp.product"]} in found["pages"]
    assert {"block": "unknown", "found": ["testapp.product"]} in found["blocks"]


def test_other_paths_stay():
    client = Client()
    before = client.get("/shop/1/").content, client.get("/shop/2/").content
    drop("/shop/1/")
    after = client.get("/shop/1/").content, client.get("/shop/2/").content
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_blocks_go_by_their_template():
    assert BLOCK.render(Context({"count": 3})) == "3"
    (named,) = KnownNames().find("unknown")
    assert named == Named(kind="block", name="unknown", tag="block:unknown")


def test_blocks_of_a_template_go_together_and_by_name():
    counters.add("hits:block:names/base.html:menu")
    for name in ("names/base.html", "names/base.html:menu", "block:names/base.html:menu"):
        (named,) = KnownNames().find(name)
        assert named.tag == f"block:{name.removeprefix('block:')}"
    with pytest.raises(ValueError, match="names/base"):
        KnownNames().find("names/base")


def test_what_other_processes_have_counted_is_known():
    counters.add("misses:elsewhere.functions.price")
    (named,) = KnownNames().find("elsewhere.functions.price")
    assert named.tag == "elsewhere.functions.price()"


def test_a_name_that_nobody_knows_is_refused_with_what_comes_close():
    with pytest.raises(ValueError, match=rf"called '{__name__}.manu'. .*{__name__}.menu") as caught:
        KnownNames().find(f"{__name__}.manu")
    assert str(caught.value).startswith("No cached function, page or block is called")


def test_the_last_part_of_a_name_is_enough_to_be_told_the_rest():
    with pytest.raises(ValueError, match=rf"Did you mean {__name__}.around\b"):
        KnownNames().find("around")


def test_so_is_a_last_part_that_is_misspelled():
    with pytest.raises(ValueError, match=rf"Did you mean {__name__}.around\b"):
        KnownNames().find("arround")


def test_so_many_names_are_compared_with_all_others(monkeypatch):
    monkeypatch.setattr(names, "COMPARED", 1)
    known = KnownNames()
    for hint in (f"mean {__name__}.menu", r"others are known, which cache_metrics and"):
        with pytest.raises(ValueError, match=hint):
            known.find(f"{__name__}.manu")


def test_only_the_kinds_that_are_asked_for_are_found():
    with pytest.raises(ValueError, match="No cached page is called"):
        KnownNames().find(f"{__name__}.menu", ["page"])


def test_models_are_suggested_as_well_where_they_are_meant():
    with pytest.raises(ValueError, match=r"no model 'testapp.Produkt'.* testapp.Product"):
        KnownNames().find_any("testapp.Produkt")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("/shop/1", "Did you mean /shop/1/?"),
        ("/shop/1/?page=2", "Did you mean /shop/1/?"),
        ("/shop/1?page=2", "Did you mean /shop/1/?"),
        ("/nowhere/", "Its tag is page:/nowhere/."),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(wrong, hint):
    with pytest.raises(ValueError, match="No URL in ROOT_URLCONF") as caught:
        KnownNames().find(wrong)
    assert str(caught.value).endswith(hint)


def test_while_the_cache_is_down_functions_of_this_process_are_known(down):
    known = KnownNames()
    assert not known.is_complete
    assert known.find(f"{__name__}.menu")[0].tag == f"{__name__}.menu()"
    with pytest.raises(ValueError, match="The cache does not answer, so only functions"):
        known.find("elsewhere.functions.price")
