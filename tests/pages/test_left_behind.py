"""What a view leaves behind besides its response would not be there on a hit."""

from enum import StrEnum
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils import timezone, translation

from cache_invalidation.views import cache_page
from tests.pages.visitors import get, status

pytestmark = pytest.mark.django_db(transaction=True)


def _tells(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.headers["X-Theme"] = getattr(request.user, "theme", "none")
        response.headers["X-Zone"] = str(timezone.get_current_timezone())
        return response

    return middleware


def _themes(request: Any) -> HttpResponse:
    request.user.theme = "dark"
    return HttpResponse("x")


def _removes(request: Any) -> HttpResponse:
    request.user.theme = "light"
    del request.user.theme
    request.user.is_staff = True
    return HttpResponse(f"{getattr(request.user, 'theme', 'none')} {request.user.is_staff}")


def _speaks(request: HttpRequest) -> HttpResponse:
    translation.activate("de")
    return HttpResponse("x")


def _speaks_late(request: HttpRequest) -> HttpResponse:
    translation.activate("de")
    return TemplateResponse(request, "shop/products.html", {"products": []})


def _elsewhere(request: HttpRequest) -> HttpResponse:
    timezone.activate("Asia/Tokyo")
    return HttpResponse("x")


def _speaks_meanwhile(request: HttpRequest) -> HttpResponse:
    with translation.override("de"), timezone.override("Asia/Tokyo"):
        return HttpResponse("x")


def _with_policy(request: HttpRequest) -> Any:
    response: Any = HttpResponse("x")
    response._csp_config = {"img-src": [Source.SELF, "https:"], "upgrade": True, "none": None}
    return response


def _with_more(request: HttpRequest) -> Any:
    response: Any = HttpResponse("x")
    response._csp_config = {"img-src": ("'self'",)}
    return response


class Source(StrEnum):
    """As Django has them since 6.0."""

    SELF = "'self'"


def _policed(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        config = getattr(response, "_csp_config", {"img-src": []})
        response.headers["X-Policy"] = str({name: str(held) for name, held in config.items()})
        if isinstance(config["img-src"], list):
            config["img-src"].append("added")
        return response

    return middleware


def _anonymous(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{isinstance(request.user, AnonymousUser)}")


def _posted(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.POST or None} {dict(request.FILES)}")


def _posted_in_part(request: HttpRequest) -> HttpResponse:
    block = "{% load cache_invalidation %}{% cached %}{{ request.FILES }}{% endcached %}"
    return HttpResponse(
        f"{request.POST or None} {Template(block).render(Context({'request': request}))}"
    )


async def _permitted(request: Any) -> HttpResponse:
    user = await request.auser()
    found = await sync_to_async(user.has_perm)("testapp.view_product")
    return HttpResponse(f"{found}")


_of_permitted = cache_page(60, vary_on={"user": lambda user: user.has_perm("testapp.view_product")})
_of_staff = cache_page(60, vary_on={"user": lambda user: user.is_staff})
urlpatterns = [
    path("themes/", cache_page(60)(_themes)),
    path("themes_of_staff/", _of_staff(_themes)),
    path("removes/", _of_staff(_removes)),
    path("speaks/", cache_page(60)(_speaks)),
    path("speaks_late/", cache_page(60)(_speaks_late)),
    path("speaks_meanwhile/", cache_page(60)(_speaks_meanwhile)),
    path("elsewhere/", cache_page(60)(_elsewhere)),
    path("policy/", cache_page(60)(_with_policy)),
    path("more/", cache_page(60)(_with_more)),
    path("permitted/", _of_permitted(_permitted)),
    path("anonymous/", _of_staff(_anonymous)),
    path("posted/", cache_page(60)(_posted)),
    path("posted_in_part/", cache_page(60)(_posted_in_part)),
]


@pytest.fixture(autouse=True)
def served(site: None, settings: Any) -> Any:
    middleware = [*settings.MIDDLEWARE, f"{__name__}._tells", f"{__name__}._policed"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture
def anna() -> Client:
    """Return the client of somebody who is logged in, and no staff."""
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    return client


def test_what_is_set_on_the_user_is_there_each_time(anna: Client) -> None:
    for client in (Client(), anna):
        for address in ("/themes/", "/themes_of_staff/"):
            for _ in range(2):
                found = get(address, client)
                assert found.headers["X-Theme"] == "dark"
                assert status(found) == "fwd=bypass; detail=request"


def test_what_is_set_on_a_user_of_a_kind_is_found_there(anna: Client) -> None:
    for _ in range(2):
        assert get("/removes/", anna).content == b"none True"


@pytest.mark.parametrize("address", ["/speaks/", "/speaks_late/", "/elsewhere/"])
def test_a_language_or_time_zone_that_stays_in_force_does_so_each_time(address: str) -> None:
    for _ in range(2):
        found = get(address)
        assert found.headers["Content-Language"] == ("en" if "else" in address else "de")
        assert found.headers["X-Zone"] == ("Asia/Tokyo" if "else" in address else "UTC")
        assert status(found) == "fwd=bypass; detail=language"


def test_a_language_for_a_part_of_a_page_is_its_own_affair() -> None:
    get("/speaks_meanwhile/")
    assert status(get("/speaks_meanwhile/")) == "hit"


def test_who_is_not_logged_in_is_of_another_kind(anna: Client) -> None:
    for _ in range(2):
        found = [get("/anonymous/", client) for client in (Client(), anna)]
        assert [each.content for each in found] == [b"True", b"False"]
    assert [status(each) for each in found] == ["hit", "hit"]


@pytest.mark.parametrize("address", ["/posted/", "/posted_in_part/"])
def test_what_was_not_posted_says_nothing(address: str) -> None:
    found = [get(address) for _ in range(2)]
    assert found[0].content == found[1].content
    assert status(found[1]) == "hit"


def test_a_policy_of_a_page_is_that_of_a_hit() -> None:
    first, second = get("/policy/"), get("/policy/")
    expected = {
        "img-src": "[<Source.SELF: \"'self'\">, 'https:']",
        "upgrade": "True",
        "none": "None",
    }
    assert first.headers["X-Policy"] == str(expected)
    assert second.headers["X-Policy"] == str({**expected, "img-src": "[\"'self'\", 'https:']"})
    assert status(second) == "hit"
    get("/more/")
    assert status(get("/more/")) == "fwd=bypass; detail=response"


def test_what_is_made_of_a_user_may_be_asked_of_the_database_for_a_coroutine(anna: Client) -> None:
    client = AsyncClient()
    for _ in range(2):
        found = async_to_sync(client.get)("/permitted/")
        assert found.content == b"False"
        assert get("/permitted/", anna).content == b"False"
