"""Clients that have a page already: 304 for one lookup, and never for what is another page."""

import copy
import gzip
import pickle
from typing import Any
from unittest import mock

import pytest
import redis
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django.views.decorators.clickjacking import xframe_options_exempt

from cache_invalidation import invalidate
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.surfaces.inputs.trail import Trail
from cache_invalidation.surfaces.pages.stored import Page
from cache_invalidation.surfaces.pages.visits import Visit
from cache_invalidation.views import cache_page
from tests.pages.visitors import get
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def product() -> Product:
    return Product.objects.create(name="boot")


def test_a_page_has_a_tag_and_browsers_ask_each_time() -> None:
    for _ in range(2):
        found = get("/json/")
        assert found.headers["ETag"].startswith('"')
        assert found.headers["Cache-Control"] == "private, no-cache"


def test_what_is_not_stored_has_neither() -> None:
    found = get("/cart/")
    assert "ETag" not in found.headers
    assert "Cache-Control" not in found.headers


def test_a_client_that_has_it_need_not_get_it_again(product: Product) -> None:
    tag = get("/json/").headers["ETag"]
    found = get("/json/", If_None_Match=tag)
    assert (found.status_code, found.content) == (304, b"")
    assert found.headers["ETag"] == tag
    product.name = "sandal"
    product.save()
    found = get("/json/", If_None_Match=tag)
    assert found.status_code == 200
    assert found.headers["ETag"] != tag


def test_it_is_told_what_that_took(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.shop.middleware.timed"]
    first = get("/json/")
    found = get("/json/?utm=mail", If_None_Match=first.headers["ETag"])
    assert found.status_code == 304
    assert found.headers["Server-Timing"] == "total;dur=8"
    assert "Content-Security-Policy" not in found.headers  # It keeps that of the page.


def test_a_miss_is_answered_by_304_as_well(product: Product) -> None:
    tag = get("/json/").headers["ETag"]
    product.save()  # The same page, made anew.
    assert get("/json/", If_None_Match=tag).status_code == 304


@pytest.mark.parametrize("listed", ['{tag}, "other"', '"other",{tag}', "W/{tag}", "*"])
def test_tags_may_be_listed_and_weak(listed: str) -> None:
    tag = get("/json/").headers["ETag"]
    assert get("/json/", If_None_Match=listed.format(tag=tag)).status_code == 304


@pytest.mark.parametrize("sent", ['"', "W/", ",,,", '"a\r\nX-Injected: 1"', "x" * 100_000, '"a'])
def test_a_malformed_one_is_no_reason(sent: str) -> None:
    get("/json/")
    found = get("/json/", If_None_Match=sent)
    assert found.status_code == 200
    assert "X-Injected" not in found.headers


def test_the_body_stays_in_the_cache(settings: Any, redis_client: redis.Redis) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "gzip" not in name]
    Product.objects.create(name="x" * 90)
    Product.objects.bulk_create([Product(name=f"{number:090}") for number in range(1000)])
    tag = get("/json/").headers["ETag"]
    get("/json/")
    before = redis_client.info("stats")
    assert get("/json/", If_None_Match=tag).status_code == 304
    after = redis_client.info("stats")
    assert after["total_net_output_bytes"] - before["total_net_output_bytes"] < 30_000


@cache_page(60)
def _first_of_many(request: HttpRequest) -> HttpResponse:
    return HttpResponse("boot", headers={"X-Total": str(Product.objects.count())})


def test_headers_are_a_part_of_what_a_client_has() -> None:
    with override_settings(ROOT_URLCONF=(path("first/", _first_of_many),)):
        tag = get("/first/").headers["ETag"]
        assert get("/first/", If_None_Match=tag).status_code == 304
        Product.objects.create(name="clog")
        for _ in range(2):
            found = get("/first/", If_None_Match=tag)
            assert (found.status_code, found.headers["X-Total"]) == (200, "2")


@cache_page(60)
@xframe_options_exempt
def _long(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<!-- banner -->" + "long " * 2000)


class _Banner:
    """Says who is there, as packages do that let staff act as somebody else."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self.get_response(request)
        if request.user.is_authenticated:
            name = request.user.get_username().encode()
            response.content = response.content.replace(b"<!-- banner -->", name)
        return response


@pytest.mark.parametrize("zipped", [True, False])
def test_a_middleware_sees_the_page_that_a_client_has(settings: Any, zipped: bool) -> None:
    names = [*settings.MIDDLEWARE, f"{__name__}._Banner"]
    settings.MIDDLEWARE = [name for name in names if zipped or "gzip" not in name]
    client = Client()
    with override_settings(ROOT_URLCONF=(path("long/", _long),)):
        tag = get("/long/", client).headers["ETag"]
        for _ in range(2):
            found = get("/long/", client, If_None_Match=tag)
            assert (found.status_code, found.content) == (304, b"")
            assert not {"X-Frame-Options", "Content-Length"} & found.headers.keys()
        client.force_login(User.objects.create_user("anna"))
        found = get("/long/", client, If_None_Match=tag)
        assert (found.status_code, found.content[:9]) == (200, b"annalong ")
        assert found.headers["Content-Length"] == str(len(found.content))
        assert "ETag" not in found.headers
        assert found.headers["Cache-Status"].endswith("hit")


@pytest.mark.parametrize("lost", ["dropped", "down"])
def test_a_body_that_is_gone_when_somebody_looks_at_it_is_computed(
    settings: Any, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    def body(self: Visit, *args: Any) -> bytes:
        with monkeypatch.context() as failing:
            if lost == "dropped":
                invalidate(tags=["page:*"])
            else:
                failing.setattr(Trail, "look", mock.Mock(side_effect=StoreUnavailable("down")))
            return original(self, *args)

    original = Visit._body
    monkeypatch.setattr(Visit, "_body", body)
    with override_settings(ROOT_URLCONF=(path("long/", _long),)):
        tag = get("/long/").headers["ETag"]
        found = get("/long/", If_None_Match=tag)
    assert (found.status_code, len(found.content)) == (200, 10_015)


@pytest.mark.parametrize("copied", [copy.copy, lambda value: pickle.loads(pickle.dumps(value))])
def test_what_is_not_read_yet_is_read_by_who_copies_it(copied: Any) -> None:
    headers = [["X-A", "b"]]
    page = Page(status=200, reason="Yes", charset=None, etag='"a"', headers=headers, length=4)
    for made in (page.response(lambda: b"body"), copied(page.response(lambda: b"body"))):
        assert (made.content, made.headers["X-A"], made.reason_phrase) == (b"body", "b", "Yes")
        made.write(b" more")
        assert b"".join(made) == b"body more"
        assert "Content-Length" not in made.headers


def test_permission_comes_first() -> None:
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    tag = get("/account/", client).headers["ETag"]
    assert get("/account/", client, If_None_Match=tag).status_code == 304
    client.logout()
    assert get("/account/", client, If_None_Match=tag).status_code == 302


def test_another_user_with_the_tag_of_somebody_else_gets_a_page() -> None:
    anna = Client()
    anna.force_login(User.objects.create_user("anna"))
    tag = get("/prices/", anna).headers["ETag"]
    found = get("/prices/", If_None_Match=tag)
    assert found.status_code == 200
    assert b"everybody" in found.content


def test_compressed_it_has_a_weak_tag() -> None:
    Product.objects.bulk_create([Product(name=f"product {number}") for number in range(50)])
    for _ in range(2):
        found = get("/json/", Accept_Encoding="gzip")
        assert found.headers["Content-Encoding"] == "gzip"
        assert found.headers["ETag"].startswith('W/"')
    assert b"product 7" in gzip.decompress(found.content)
    assert get("/json/", If_None_Match=found.headers["ETag"]).status_code == 304


def _adds_a_line(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        if response.status_code == 200:
            response.content += f"<!-- {request.GET.get('n')} -->".encode()
        return response

    return middleware


def test_bytes_that_are_not_those_of_the_view_have_no_tag(settings: Any) -> None:
    first, *others = settings.MIDDLEWARE
    settings.MIDDLEWARE = [first, f"{__name__}._adds_a_line", *others]
    for number in range(2):
        found = get(f"/json/?n={number}")
        assert "ETag" not in found.headers
        assert found.content.endswith(f"<!-- {number} -->".encode())
    assert found.headers["Cache-Status"].endswith("hit")


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("If-Match", '"another"'),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("Range", "bytes=0-1"),
    ],
)
def test_other_conditions_are_none_of_our_business(condition: str, value: str) -> None:
    for _ in range(2):
        assert Client().get("/json/", headers={condition: value}).status_code == 200
