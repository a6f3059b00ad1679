"""Views that do more than make a response: right, and stored where that is possible."""

import re
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from django.views import View
from rest_framework.decorators import api_view
from rest_framework.settings import api_settings

from cache_invalidation import invalidate
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.rest import CachedResponseMixin, cached_response
from cache_invalidation.stores import get_store
from tests.rest import odd
from tests.rest.conftest import MIDDLEWARE, TEMPLATES, Asker, status, told
from tests.testapp.models import Product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("goods")]

STORED, HIT = "fwd=miss; stored", "hit"


@pytest.fixture(autouse=True)
def odd_site(site: None) -> Any:
    with override_settings(ROOT_URLCONF="tests.rest.odd", TEMPLATES=TEMPLATES):
        yield


def same(asker: Asker, path: str, *expected: str) -> None:
    """Ask as often as `expected` names a status, and see that it is right each time."""
    for each in expected:
        right = told(asker.uncached(path))
        found = asker.get(path)
        assert (status(found), told(found)) == (each, right)


@pytest.mark.parametrize(
    "name", ["Base", "HeaderOfResponse", "Late", "Initial", "Page", "Nobody", "Inner", "OfShop"]
)
def test_these_are_stored(name):
    same(Asker("alice"), f"/{name}/", STORED, HIT)
    Product.objects.all()[0].delete()
    Product.objects.create(name="new")
    same(Asker("alice"), f"/{name}/", *([STORED] if name in _READING else []), HIT)


_READING = ("Base", "HeaderOfResponse", "Late", "Page")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *[("LeavesSomething", "view"), ("SetsHeaders", "view"), ("Context", "template")],
        *[("Lazy", "authentication"), ("Body", "body"), ("Session", "session")],
        *[("Cookie", "set-cookie"), ("Never", "cache-control"), ("Raises", "exception")],
        *[("Accepted", "status")],
    ],
)
def test_these_are_not(name, reason):
    same(Asker("alice"), f"/{name}/", *[f"fwd=bypass; detail={reason}"] * 2)


@pytest.mark.parametrize(
    "name", ["Initial", "Inner", "OfShop", "OfShopOnView", "Lazy", "ByWhetherNamed"]
)
def test_nobody_gets_what_is_for_somebody_else(name):
    for asker in (Asker("alice"), Asker("bob"), Asker(), Asker("alice")):
        assert told(asker.get(f"/{name}/")) == told(asker.uncached(f"/{name}/"))


def test_what_is_put_around_a_response_is_put_around_one_from_the_cache():
    asker = Asker()
    same(asker, "/Envelope/", STORED, HIT)
    for query in ("envelope=1", "more=1", "more=2", "asked=3"):
        same(asker, f"/Envelope/?{query}", HIT)
    same(asker, "/Envelope/", HIT)


@pytest.mark.parametrize("form", ["json", "txt"])
def test_the_data_is_what_the_view_returned_whatever_it_is_rendered_as(form):
    asker = Asker()
    same(asker, f"/Typed/?format={form}", STORED, HIT)
    for query in ("envelope=1", "more=1"):
        same(asker, f"/Typed/?format={form}&{query}", HIT)
    Product.objects.create(name="dear", price=1000)
    same(asker, f"/Typed/?format={form}", STORED, HIT)


def test_what_has_an_envelope_is_not_stored():
    same(Asker(), "/Envelope/?envelope=1", *["fwd=bypass; detail=template"] * 2)
    same(Asker(), "/Envelope/?more=1", *["fwd=bypass; detail=template"] * 2)


def test_the_data_of_json_is_there_from_the_cache():
    asker = Asker()
    assert asker.get("/Base/").data == asker.get("/Base/").data == {"total": 7}


class Changing:
    """A middleware that adds to the data before it is rendered, and a header."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request):
        """Return the response."""
        return self.get_response(request)

    def process_template_response(self, request, response):
        """Add what is asked for, and who that is."""
        if "added" in request.GET:
            response.data["added"] = request.GET["added"]
        response.headers["X-Who"] = request.GET.get("who", "")
        return response


def test_middlewares_change_one_from_the_cache_as_well():
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.Changing"]):
        asker = Asker()
        same(asker, "/Base/?added=0", "fwd=bypass; detail=template")
        same(asker, "/Base/?who=alice", STORED, HIT)
        same(asker, "/Base/?who=bob", HIT)
        same(asker, "/Base/?added=1", HIT)


def test_a_user_may_be_looked_at_coarsely():
    for asker, expected in (
        (Asker("alice"), STORED),
        (Asker("bob"), HIT),
        (Asker("staff"), STORED),
    ):
        same(asker, "/ByKind/", expected)
    same(Asker("alice"), "/ByKind/?name", "fwd=bypass; detail=user")
    same(Asker("bob"), "/ByKind/?name", "fwd=bypass; detail=user")


def test_a_user_may_be_none(monkeypatch):
    monkeypatch.setattr(api_settings, "UNAUTHENTICATED_USER", None)
    same(Asker(), "/Nobody/", STORED, HIT)
    same(Asker("alice"), "/Nobody/", STORED, HIT)


def test_it_is_computed_once_if_it_is_decorated_twice():
    found = [Asker().get("/twice/") for _ in range(2)]
    assert [status(each) for each in found] == [STORED, HIT]


@pytest.mark.parametrize("path", ["/on_method/", "/on_dispatch/", "/around/"])
def test_cache_page_around_the_framework_stores_nothing_and_says_so(path):
    for asker, name in ((Asker("alice"), "alice"), (Asker("bob"), "bob"), (Asker(), "")):
        found = asker.get(path)
        assert (found.status_code, status(found)) == (200, "fwd=bypass; detail=rest")
        if path.startswith("/on"):
            assert found.json()["user"] == name
    assert any(re.fullmatch("unstored:page:.*:rest", each) for each in _counted())


def test_cache_page_around_a_cached_view_leaves_that_to_the_view():
    assert [status(Asker().get("/both/")) for _ in range(2)] == [STORED, HIT]


def test_cache_page_around_the_framework_leaves_throttles_alone():
    codes = [Asker("alice").get("/on_dispatch/").status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def _counted() -> Any:
    counters.flush()
    return get_store().counters()


def test_they_are_called_after_the_view_and_the_action():
    asker = Asker()
    for _ in range(2):
        asker.get("/more/v1/products/")
        asker.get("/more/v1/total/")
    rates = read_metrics()["functions"]
    for name in ("page:tests.rest.urls.Products.list", "page:tests.rest.api.total"):
        assert (rates[name]["hits"], rates[name]["misses"]) == (1, 1)
    invalidate(tags=["page:tests.rest.urls.Products.list"])
    assert status(asker.get("/more/v1/products/")) == STORED
    assert status(asker.get("/more/v1/total/")) == HIT


def test_an_option_may_be_given_where_the_view_is_made():
    same_view = Asker().get("/short/")
    assert status(same_view) == STORED
    assert status(Asker().get("/Base/")) == STORED


def test_nothing_is_stored_without_the_middleware():
    with override_settings(MIDDLEWARE=MIDDLEWARE[1:]):
        assert [status(Asker().get("/Base/")) for _ in range(2)] == ["", ""]


def test_a_function_may_be_called_without_a_request():
    assert cached_response(300)(lambda *args: args)(1, 2) == (1, 2)
    view = odd.Base()
    request = RequestFactory().get("/")
    assert cached_response(300)(lambda self, request: "x")(view, request) == "x"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"cache_timeout": "soon"}, ValueError),
        ({"cache_vary_on": {"session": len}}, ValueError),
        ({"cache_vary_on": {"user": "staff"}}, TypeError),
        ({"cache_actions": "list"}, TypeError),
    ],
)
def test_options_that_cannot_work_are_told_when_the_class_is_made(options, problem):
    with pytest.raises(problem):
        type("View", (CachedResponseMixin, odd.Base), options)


def test_an_option_that_there_is_not_is_refused():
    with pytest.raises(TypeError, match="cache_timout"):
        cached_response(cache_timout=60)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="cache_timout"):
        odd.Base.as_view(cache_timout=60)


def test_there_are_no_coroutines():
    async def view(request):
        return None

    with pytest.raises(TypeError, match="no coroutine"):
        cached_response(300)(view)


@pytest.mark.parametrize("bases", [(odd.Base, CachedResponseMixin), (CachedResponseMixin, View)])
def test_the_mixin_comes_before_a_view_of_rest_framework(bases):
    with pytest.raises(TypeError, match=r"before the view.*: class Late\(CachedResponseMixin, "):
        type("Late", bases, {})


def test_the_decorator_is_for_methods_and_for_functions_below_api_view():
    with pytest.raises(TypeError, match=r"Base is a class: write class Base\(CachedResponseMixin"):
        cached_response(300)(odd.Base)
    with pytest.raises(TypeError, match="above api_view on"):
        cached_response(300)(api_view(["GET"])(_plain))


def test_a_view_that_is_not_of_rest_framework_says_why_nothing_is_stored():
    view = cached_response(300)(_plain)
    with override_settings(ROOT_URLCONF=(path("plain/", view),)):
        assert status(Asker().get("/plain/")) == "fwd=bypass; detail=rest"
    counters.flush()
    assert read_metrics()["not_stored"][f"page:{__name__}._plain"] == {"rest": 1}


def _plain(request):
    return HttpResponse("here")
