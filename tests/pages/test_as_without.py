"""A view does what it does without the cache, and whatever its page hinges on tells pages apart."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject
from django.utils.translation import activate

from cache_invalidation.views import cache_page
from tests.pages.visitors import get, status
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

urlpatterns: list[Any] = []


def page(**options: Any) -> Callable[[Any], Any]:
    """Serve a view under its name, and cache it."""

    def serve(view: Any) -> Any:
        urlpatterns.append(path(f"{view.__name__}/", cache_page(60, **options)(view)))
        return view

    return serve


@pytest.fixture(autouse=True)
def served(site: None) -> Any:
    with override_settings(ROOT_URLCONF=__name__):
        yield


_before: list[Callable[[Any], None]] = []


class _Prepares:
    """Does to the request what the test wants, and says later what it has marked."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        for prepare in _before:
            prepare(request)
        response = self.get_response(request)
        response.headers["X-Marks"] = ",".join(getattr(request, "marks", ()))
        return response

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        by = request.GET.get("by", "")
        match request.GET.get("change"):
            case "content":
                response.content = by.encode()
            case "names":
                response.template_name.insert(0, f"shop/{by}.html")
            case "context":
                response.context_data["products"].append(by)
            case "status":
                response.status_code = int(by)
        return response


@pytest.fixture
def prepared(settings: Any) -> Iterator[Callable[[Callable[[Any], None]], None]]:
    """Return what has something done to each request before the view."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._Prepares"]
    yield _before.append
    _before.clear()


@page()
def kind(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.content_type} {request.content_params} {request.encoding}")


def test_the_type_of_a_body_counts_though_there_is_none() -> None:
    assert get("/kind/", Content_Type="application/json; charset=latin-1").content == (
        b"application/json {'charset': 'latin-1'} latin-1"
    )
    assert b"json" not in get("/kind/").content
    assert b"json" not in get("/kind/", Content_Type="text/plain").content


@page()
def wanted(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.LANGUAGE_CODE}, not {request.GET.get('not', 'de')}")


def test_the_language_that_was_asked_for_is_not_always_the_one_that_is_active(
    prepared: Any,
) -> None:
    prepared(lambda request: activate("en"))
    assert get("/wanted/", Accept_Language="de").content == b"de, not de"
    assert get("/wanted/", Accept_Language="en").content == b"en, not de"


@page()
def app(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{getattr(request, 'current_app', 'none')}")


def test_links_may_lead_to_another_app(prepared: Any) -> None:
    def before(request: Any) -> None:
        if "app" in request.COOKIES:
            request.current_app = request.COOKIES["app"]

    prepared(before)
    client = Client()
    client.cookies["app"] = "shop"
    assert get("/app/", client).content == b"shop"
    assert get("/app/").content == b"none"


@page()
def with_default(request: Any) -> HttpResponse:
    request.GET = request.GET.copy()
    request.GET.setdefault("sort", "name")
    return HttpResponse(request.GET["sort"])


@page()
def with_default_inside(request: Any) -> HttpResponse:
    request.GET._mutable = True
    request.GET.setdefault("sort", "name")
    request.marks.append(request.GET["sort"])
    return HttpResponse(request.GET["sort"])


@page()
def in_koi8(request: HttpRequest) -> HttpResponse:
    before = request.GET["q"]
    request.encoding = "koi8-r"
    return HttpResponse(f"{before == request.GET['q']} {request.GET['q']}")


@page()
def somebody_else(request: Any) -> HttpResponse:
    before = request.user.get_username()
    request.user = User(username="anna")
    return HttpResponse(f"{before} {request.user.username}")


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/with_default/", "name"),
        ("/with_default/?sort=price", "price"),
        ("/in_koi8/?q=%C1", "False \u0430"),
        ("/somebody_else/", " anna"),
    ],
)
def test_what_a_view_sets_on_the_request_it_finds_there(address: str, body: str) -> None:
    for _ in range(2):
        found = get(address)
        assert found.content.decode() == body
        assert status(found) == "fwd=bypass; detail=request"


@page()
def marked(request: Any) -> HttpResponse:
    request.marks.append("seen")
    return HttpResponse("marked")


@page()
def looked(request: Any) -> HttpResponse:
    return HttpResponse(f"{len(request.marks)}")


def test_what_a_view_puts_into_something_on_the_request_is_there_each_time(prepared: Any) -> None:
    def before(request: Any) -> None:
        request.marks = []

    prepared(before)
    for address, marks in (("/marked/", "seen"), ("/with_default_inside/", "name")):
        for _ in range(2):
            found = get(address)
            assert (found.headers["X-Marks"], status(found)) == (
                marks,
                "fwd=bypass; detail=request",
            )
    get("/looked/")
    assert status(get("/looked/")) == "hit"


@page()
def anybody(request: Any) -> HttpResponse:
    return HttpResponse("nobody" if request.user is None else request.user.username)


def test_a_user_may_be_none(prepared: Any) -> None:
    def before(request: Any) -> None:
        if not request.user.is_authenticated:
            request.user = None

    prepared(before)
    bob = Client()
    bob.force_login(User.objects.create_user("bob"))
    for _ in range(2):
        found, of_bob = get("/anybody/"), get("/anybody/", bob)
        assert (found.content, of_bob.content) == (b"nobody", b"bob")
    assert status(found) == status(of_bob) == "hit"


@page(vary_on={"user": lambda user: user.email.endswith("@shop.example")})
def address(request: Any) -> HttpResponse:
    return HttpResponse(request.user.email)


@page(vary_on={"user": lambda user: user.has_perm("testapp.view_product")})
def permitted(request: Any) -> HttpResponse:
    wanted = "testapp.view_product", "testapp.add_product"
    return HttpResponse(f"{[request.user.has_perm(name) for name in wanted]}")


@page(vary_on={"user": lambda user: user.groups.filter(name="all").exists()})
def groups(request: Any) -> HttpResponse:
    return HttpResponse(f"{list(request.user.groups.values_list('name', flat=True))}")


@page(vary_on={"user": lambda user: user.is_authenticated})
def known(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.user.is_authenticated}")


@page(vary_on={"user": lambda user: None})
def alike(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.user.is_authenticated}")


@pytest.fixture
def clients() -> list[Client]:
    """Return those of anna and bob, who may do more."""
    kind = ContentType.objects.get_for_model(Product)
    found = []
    for name, codes in (("anna", ["view"]), ("bob", ["view", "add"])):
        user = User.objects.create_user(name, f"{name}@shop.example")
        for code in codes:
            permission, _ = Permission.objects.get_or_create(
                codename=f"{code}_product", content_type=kind
            )
            user.user_permissions.add(permission)
        user.groups.add(Group.objects.get_or_create(name="all")[0], Group.objects.create(name=name))
        client = Client()
        client.force_login(user)
        found.append(client)
    return found


@pytest.mark.parametrize(
    ("address", "anna", "bob"),
    [
        ("/address/", "anna@shop.example", "bob@shop.example"),
        ("/permitted/", "[True, False]", "[True, True]"),
        ("/groups/", "['all', 'anna']", "['all', 'bob']"),
    ],
)
def test_what_vary_on_has_read_may_say_more_than_what_it_has_made_of_it(
    clients: list[Client], address: str, anna: str, bob: str
) -> None:
    for _ in range(2):
        found = [get(address, client).content.decode() for client in clients]
        assert found == [anna, bob]


def test_what_is_the_same_for_many_is_one_page_for_them(clients: list[Client]) -> None:
    get("/known/", clients[0])
    assert status(get("/known/", clients[1])) == "hit"
    for client in clients:
        found = get("/alike/", client)
        assert (found.content, status(found)) == (b"True", "fwd=bypass; detail=user")


@page()
def late(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, ["shop/products.html"], {"products": []})


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    ("change", "by"),
    [("content", "me"), ("names", "prices"), ("context", "boot"), ("status", "404")],
)
def test_what_a_middleware_does_to_what_is_not_yet_rendered_is_not_stored(
    change: str, by: str
) -> None:
    for _ in range(2):
        assert status(get(f"/late/?change={change}&by={by}")) == "fwd=bypass; detail=template"
    found = get("/late/")
    assert (found.status_code, found.content.strip()) == (200, b"")
    assert status(found) == "fwd=miss; stored"


_begun, _go_on = Event(), Event()


@page()
def in_threads(request: Any) -> HttpResponse:
    _begun.clear()
    _go_on.clear()
    with ThreadPoolExecutor() as pool:
        name = pool.submit(lambda: request.user.username)
        _begun.wait(3)
        # While the other thread finds out who it is.
        query = request.GET.get("q")
        _go_on.set()
        return HttpResponse(f"{query} {name.result()}")


def test_what_is_looked_at_in_another_thread_meanwhile_is_an_input(prepared: Any) -> None:
    def who() -> User:
        _begun.set()
        _go_on.wait(0.5)
        return User(username="x", date_joined=datetime(2026, 1, 1, tzinfo=UTC))

    def before(request: Any) -> None:
        request.user = SimpleLazyObject(who)

    prepared(before)
    for query in "121":
        assert get(f"/in_threads/?q={query}").content.decode() == f"{query} x"
