"""Pages of the shop: hits where nothing has changed, fresh where something has."""

from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.test.utils import override_script_prefix
from django.urls import NoReverseMatch, path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.generic import View

from cache_invalidation.exceptions import StoreRefused
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads.read import Outcome, Read
from cache_invalidation.stores.redis.store import RedisStore
from cache_invalidation.surfaces.inputs import trail
from cache_invalidation.surfaces.inputs.trail import Trail
from cache_invalidation.views import cache_page, invalidate_page
from tests.pages.visitors import Visitor, get, status
from tests.shop import views
from tests.shop.urls import urlpatterns as shop
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def products() -> list[Product]:
    """What the shop has."""
    category = Category.objects.create(name="shoes")
    return [Product.objects.create(name=name, category=category) for name in ("boot", "clog")]


@pytest.mark.parametrize(
    "address",
    [
        *("/products/", "/links/?a=1", "/prices/", "/staff/", "/edit/", "/experiment/"),
        *("/greeting/", "/notices/", "/where/", "/late/", "/json/", "/awaited/", "/categories/"),
    ],
)
def test_a_page_is_computed_once_for_those_who_look_the_same(address: str) -> None:
    assert status(get(address)) == "fwd=miss; stored"
    assert status(get(address)) == "hit"
    other = Client()
    other.cookies["_ga"] = "1"
    assert status(get(address, other, User_Agent="Desktop")) == "hit"


@pytest.mark.parametrize("address", ["/products/", "/late/", "/json/", "/awaited/", "/categories/"])
def test_a_write_makes_it_stale(address: str, products: list[Product]) -> None:
    before = get(address).content
    products[0].name = "sandal"
    products[0].save()
    found = get(address)
    assert found.content != before
    assert b"sandal" in found.content
    assert status(found) == "fwd=miss; stored"


def test_another_row_leaves_it(products: list[Product]) -> None:
    get(f"/products/{products[0].pk}/")
    products[1].save()
    assert status(get(f"/products/{products[0].pk}/")) == "hit"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/form/", "csrf"),
        ("/notify/", "messages"),
        ("/cart/", "session"),
        ("/remember/", "set-cookie"),
        ("/stream/", "streaming"),
        ("/missing/", "status"),
        ("/account/", "status"),
    ],
)
def test_what_is_made_for_one_visit_is_not_stored(address: str, reason: str) -> None:
    for _ in range(2):
        assert status(get(address)) == f"fwd=bypass; detail={reason}"


def test_messages_are_shown_once_and_to_those_whom_they_are_for() -> None:
    visitor, other = Visitor(), Visitor()
    for address, who in (("/notices/", other), ("/notify/?name=x", visitor), ("/notices/", other)):
        shown, right = who.visit(address)
        assert shown == right
    shown, right = visitor.visit("/notices/")
    assert shown == right
    assert b"hello x" in shown[1]
    assert visitor.visit("/notices/")[0][1] == b""
    assert visitor.status.endswith("hit")


def test_users_have_pages_of_their_own() -> None:
    anna = Client()
    anna.force_login(User.objects.create_user("anna"))
    assert b"everybody" in get("/prices/").content
    assert b"anna" in get("/prices/", anna).content
    assert b"everybody" in get("/prices/").content
    assert status(get("/prices/", anna)) == "hit"


def test_what_staff_looks_at_does_not_make_the_page_of_others_vary() -> None:
    sam = Client()
    sam.force_login(User.objects.create_user("sam", is_staff=True))
    for columns in "12":
        sam.cookies["columns"] = columns
        assert f"{columns} columns" in get("/staff/", sam).content.decode()
    get("/staff/")
    someone = Client()
    someone.cookies["columns"] = "7"
    assert status(get("/staff/", someone)) == "hit"


def test_a_login_does_not_drop_the_pages_of_others() -> None:
    get("/prices/")
    User.objects.create_user("anna", password="x")
    assert Client().login(username="anna", password="x")
    assert status(get("/prices/")) == "hit"


def test_permission_is_asked_each_time() -> None:
    anna = Client()
    anna.force_login(User.objects.create_user("anna"))
    assert get("/account/", anna).status_code == 200
    anna.logout()
    assert get("/account/", anna).status_code == 302


def test_only_the_parameters_that_are_looked_at_count() -> None:
    get("/products/?page=1&sort=name")
    for number in range(5):
        assert status(get(f"/products/?page=1&sort=name&utm_source={number}")) == "hit"
    assert status(get("/products/?page=2&sort=name")) == "fwd=miss; stored"


def test_a_missing_and_an_empty_header_are_not_the_same() -> None:
    assert b"from nowhere" in get("/agent/").content
    assert get("/agent/", X_Country="").content.endswith(b"from ")
    assert b"from nowhere" in get("/agent/").content


def test_head_is_answered_from_what_get_has_stored() -> None:
    assert Client().head("/products/").headers["Cache-Status"].endswith("detail=method")
    get("/products/")
    found = Client().head("/products/")
    assert status(found) == "hit"
    assert found.content == b""


def test_in_a_transaction_that_has_written_nothing_is_stored(products: list[Product]) -> None:
    get("/products/")
    with transaction.atomic():
        Product.objects.update(name="uncommitted")
        assert b"uncommitted" in get("/products/").content
        transaction.set_rollback(True)
    assert b"uncommitted" not in get("/products/").content


def test_a_page_is_dropped_by_its_path_or_by_its_view(products: list[Product]) -> None:
    one, two = (f"/products/{product.pk}/" for product in products)
    for drop, stale in (
        (lambda: invalidate_page(one), [one]),
        (lambda: invalidate_page("product", pk=products[0].pk), [one]),
        (lambda: invalidate_page(views.product), [one, two]),
        (lambda: invalidate_page("tests.shop.views.product"), [one, two]),
    ):
        get(one), get(two)
        drop()
        assert [page for page in (one, two) if status(get(page)) != "hit"] == stale


@pytest.mark.parametrize(
    ("page", "arguments"),
    [
        *[("tests.shop.views.prodcts", ()), ("nowhere.at.all", ()), ("products.", ())],
        *[("tests.shop.views.__name__", ()), ("product", ()), ("tests.shop.views.product", (1,))],
        *[("tests.testapp.models.Product.save", ()), ("", ())],
    ],
)
def test_what_is_no_page_is_refused_with_what_can_be_one(page: str, arguments: Any) -> None:
    with pytest.raises(NoReverseMatch, match=r"Reverse for .* takes a path, .* dotted name, or"):
        invalidate_page(page, *arguments)


def test_a_url_may_have_the_dotted_name_of_a_view(products: list[Product]) -> None:
    urls = [path("a/", _inner, name="tests.shop.views.product"), path("b/", views.product)]
    with override_settings(ROOT_URLCONF=tuple(urls)):
        get("/a/")
        invalidate_page("tests.shop.views.product")
        assert status(get("/a/")) == "fwd=miss; stored"


def test_a_path_may_be_spelled_as_in_links() -> None:
    address = reverse("asked", args=["caf-é"])
    assert "%" in address
    for spelling in (address, f"{address}?page=2", "/asked/caf-é/", f"/shop{address}"):
        get(address)
        with override_script_prefix("/shop/"):
            invalidate_page(spelling)
        assert status(get(address)) == "fwd=miss; stored"
    invalidate_page("asked", "caf-é")
    assert status(get(address)) == "fwd=miss; stored"


def test_a_view_that_is_a_class_gives_the_pages_their_name() -> None:
    urls = [path(f"{kind.__name__}/", kind.as_view()) for kind in (_Decorated, _Dispatched)]
    with override_settings(ROOT_URLCONF=tuple(urls)):
        for kind, url in zip((_Decorated, _Dispatched), urls, strict=True):
            address = f"/{url.pattern}"
            for named in (kind, url.callback, f"{__name__}.{kind.__name__}"):
                get(address)
                assert status(get(address)) == "hit"
                invalidate_page(named)
                assert status(get(address)) == "fwd=miss; stored"
            assert f"page:{__name__}.{kind.__name__}" in read_metrics()["functions"]


def test_without_the_middleware_nothing_is_stored(settings: Any) -> None:
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    for _ in range(2):
        assert "Cache-Status" not in get("/products/").headers


def _asks(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.GET.get("q", ""))


class _Decorated(View):
    title = "a"

    @method_decorator(cache_page(60))
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{self.title} {self.request.GET.get('q')}")


@method_decorator(cache_page(60), name="dispatch")
class _Dispatched(View):
    title = "a"

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.color = request.GET.get("color", "")

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{self.title} {self.color} {self.request.GET.get('q')}")


def _varying(number: int) -> Any:
    @cache_page(60)
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(number))

    return view


@cache_page(60)
def _adds_message(request: HttpRequest) -> HttpResponse:
    messages.info(request, "once")
    return HttpResponse("added")


@cache_page(60)
def _puts(request: HttpRequest) -> HttpResponse:
    request.seen = True  # type: ignore[attr-defined]
    return HttpResponse("put")


@cache_page(60)
def _counts(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Session.objects.count()))


@cache_page(60)
def _knows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(getattr(request, "tenant", "nobody")))


@cache_page(60, vary_on={"user": lambda user: user.is_staff})
def _for_staff(request: HttpRequest) -> HttpResponse:
    return HttpResponse("staff" if request.user.is_staff else "others")


@cache_page(60, vary_on={"user": lambda user: user.is_staff})
def _says_more(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user}")


@cache_page(60)
def _fails(request: HttpRequest) -> HttpResponse:
    raise ValueError(Product.objects.count())


@cache_page(60)
def _inner(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join(Product.objects.values_list("name", flat=True)))


@cache_page(60)
def _outer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"around " + _inner(request).content)


def _dispatching(request: HttpRequest) -> HttpResponse:
    found: HttpResponse = _varying(int(request.GET["n"]))(request)
    return found


class _Details:
    """As django-htmx puts them on each request."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def __bool__(self) -> bool:
        return self.request.headers.get("HX-Request") == "true"


def _with_details(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        request.htmx = _Details(request)  # type: ignore[attr-defined]
        request.csp_nonce = SimpleLazyObject(lambda: uuid4().hex)  # type: ignore[attr-defined]
        return get_response(request)

    return middleware


@cache_page(60)
def _part(request: HttpRequest) -> HttpResponse:
    return HttpResponse("part" if request.htmx else "whole")  # type: ignore[attr-defined]


@cache_page(60)
def _greets(request: HttpRequest) -> HttpResponse:
    name = request.user.get_username() if request.GET.get("by") == "name" else ""
    return HttpResponse(f"hello {name}")


def _breaking(get_response: Any) -> Any:
    def fail() -> Any:
        raise OSError("nobody knows who it is")

    def middleware(request: HttpRequest) -> Any:
        if "broken" in request.COOKIES:
            request.user = SimpleLazyObject(fail)  # type: ignore[assignment]
        return get_response(request)

    return middleware


@cache_page(60)
def _trusted(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<script nonce={request.csp_nonce}>")  # type: ignore[attr-defined]


@cache_page(60)
def _changes_its_mind(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        Product.objects.update(name="uncommitted")
        names = ", ".join(Product.objects.values_list("name", flat=True))
        transaction.set_rollback(True)
    return HttpResponse(names)


def _of_tenant(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> Any:
        if "tenant" in request.COOKIES:
            request.tenant = request.COOKIES["tenant"]  # type: ignore[attr-defined]
        return get_response(request)

    return middleware


urlpatterns = [
    *shop,
    path("decorated/", _Decorated.as_view()),
    path("decorated-b/", _Decorated.as_view(title="b")),
    path("dispatched/", _Dispatched.as_view()),
    path("dispatched-b/", _Dispatched.as_view(title="b")),
    path("dispatching/", _dispatching),
    path("adds/", _adds_message),
    path("puts/", _puts),
    path("counts/", _counts),
    path("knows/", _knows),
    path("for-staff/", _for_staff),
    path("says-more/", _says_more),
    path("fails/", _fails),
    path("outer/", _outer),
    path("part/", _part),
    path("trusted/", _trusted),
    path("greets/", _greets),
    path("changes/", _changes_its_mind),
    path("never/", cache_page(60)(never_cache(_asks))),
    path("never-outside/", never_cache(cache_page(60)(_asks))),
    path("public/", cache_page(60)(cache_control(public=True, max_age=5)(_asks))),
    path("frames/", cache_page(60)(xframe_options_exempt(_asks))),
]

here = override_settings(ROOT_URLCONF=__name__)


@here
def test_class_based_views_are_cached_by_method_and_by_dispatch() -> None:
    for address in ("/decorated/", "/dispatched/"):
        assert get(f"{address}?q=1").content.split() == [b"a", b"1"]
        assert get(f"{address}?q=2").content.split() == [b"a", b"2"]
        assert status(get(f"{address}?q=1&x=1")) == "hit"
        assert get(f"{address[:-1]}-b/?q=1").content.split() == [b"b", b"1"]


@here
def test_what_setup_has_looked_at_is_an_input() -> None:
    assert b"red" in get("/dispatched/?color=red").content
    assert b"blue" in get("/dispatched/?color=blue").content


@here
def test_views_that_are_made_by_a_function_are_told_apart() -> None:
    assert get("/dispatching/?n=1").content == b"1"
    assert get("/dispatching/?n=2").content == b"2"
    assert status(get("/dispatching/?n=1")) == "hit"


@here
@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/adds/", "messages"),
        ("/puts/", "request"),
        ("/counts/", "unwatched"),
        ("/never/", "cache-control"),
        ("/never-outside/", "cache-control"),
    ],
)
def test_what_a_hit_would_not_do_is_not_stored(address: str, reason: str) -> None:
    for _ in range(2):
        assert status(get(address)) == f"fwd=bypass; detail={reason}"


@here
def test_what_a_middleware_has_put_on_the_request_is_an_input(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._of_tenant"]
    one, other = Client(), Client()
    one.cookies["tenant"], other.cookies["tenant"] = "one", "other"
    for client, body in ((one, b"one"), (other, b"other"), (Client(), b"nobody")):
        for _ in range(2):
            found = get("/knows/", client)
            assert found.content == body
        assert status(found) == "hit"


@here
def test_a_page_may_be_the_same_for_many_users() -> None:
    anna, bob = Client(), Client()
    anna.force_login(User.objects.create_user("anna"))
    bob.force_login(User.objects.create_user("bob"))
    assert get("/for-staff/", anna).content == b"others"
    assert status(get("/for-staff/", bob)) == "hit"
    # Nobody is of another class, by which a view may tell as well.
    get("/for-staff/")
    assert status(get("/for-staff/")) == "hit"


@here
@pytest.mark.parametrize("name", ["", "anna"])
def test_but_not_if_it_reads_more_of_them(name: str) -> None:
    client = Client()
    if name:
        client.force_login(User.objects.create_user(name))
    for _ in range(2):
        assert status(get("/says-more/", client)) == "fwd=bypass; detail=user"


@here
def test_an_error_is_the_one_of_the_view() -> None:
    client = Client(raise_request_exception=False)
    for _ in range(2):
        assert client.get("/fails/").status_code == 500


@here
def test_a_page_in_a_page_is_part_of_it(products: list[Product]) -> None:
    get("/outer/")
    assert status(get("/outer/")) == "hit"
    products[0].name = "sandal"
    products[0].save()
    assert b"sandal" in get("/outer/").content


@here
def test_what_the_view_tells_the_middlewares_is_told_by_a_hit() -> None:
    for _ in range(2):
        found = get("/frames/")
        assert "X-Frame-Options" not in found.headers
    assert status(found) == "hit"
    for _ in range(2):
        found = get("/public/")
        assert found.headers["Cache-Control"] == "public, max-age=5"
    assert status(found) == "hit"


@here
def test_what_holds_the_request_looks_at_it(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._with_details"]
    for _ in range(2):
        whole, part = get("/part/"), get("/part/", HX_Request="true")
        assert (whole.content, part.content) == (b"whole", b"part")
    assert status(whole) == status(part) == "hit"


@here
def test_a_nonce_is_for_once(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._with_details"]
    for _ in range(2):
        assert status(get("/trusted/")) == "fwd=bypass; detail=nonce"


@here
def test_what_is_rolled_back_before_the_page_is_stored_is_not_stored() -> None:
    for _ in range(2):
        assert status(get("/changes/")) == "fwd=bypass; detail=dependencies"


@here
def test_nor_with_the_transaction_around_the_view(settings: Any) -> None:
    with mock.patch.dict(connection.settings_dict, ATOMIC_REQUESTS=True):
        assert status(get("/products/")) == "fwd=miss; stored"
        assert status(get("/products/")) == "hit"
        assert status(get("/changes/")) == "fwd=bypass; detail=dependencies"


def test_why_a_page_is_not_stored_is_counted() -> None:
    counters.discard()
    for address in ("/cart/", "/cart/", "/form/", "/products/", "/products/"):
        get(address)
    metrics = read_metrics()
    assert metrics["not_stored"] == {
        "page:tests.shop.views.cart": {"session": 2},
        "page:tests.shop.views.form": {"csrf": 1},
    }
    assert metrics["functions"]["page:tests.shop.views.products"]["hit_rate"] == 0.5


class _Stamps:
    """Says for whom a page is, where it is rendered late."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        for place in request.GET.getlist("stamp"):
            if place == "header":
                response.headers["X-Stamp"] = request.GET["by"]
            elif place == "cookie":
                response.set_cookie("stamp", request.GET["by"])
            else:
                response.context_data = {**response.context_data, "stamp": request.GET["by"]}
        return response


@pytest.mark.parametrize("place", ["header", "cookie", "context"])
def test_what_a_middleware_changes_before_it_is_rendered_is_not_stored(
    settings: Any, place: str
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._Stamps"]
    for by in "ab":
        found = get(f"/late/?stamp={place}&by={by}")
        assert status(found) == "fwd=bypass; detail=template"
        if place == "header":
            assert found.headers["X-Stamp"] == by
    assert status(get("/late/")) == "fwd=miss; stored"
    assert status(get("/late/")) == "hit"


def test_a_page_whose_place_cannot_be_told_is_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    original, refused = RedisStore.entry_place, [False]

    def entry_place(self: RedisStore, key: str) -> str:
        if refused[0]:
            raise StoreRefused("the KEY_FUNCTION failed")
        return original(self, key)

    def look(self: Trail, read: Read) -> Outcome:
        refused[0] = False
        outcome = lookup(self, read)
        refused[0] = True
        return outcome

    lookup = Trail.look
    with monkeypatch.context() as failing:
        failing.setattr(RedisStore, "entry_place", entry_place)
        failing.setattr(Trail, "look", look)
        assert status(get("/experiment/")) == "fwd=bypass; detail=unavailable"
    trail.steps.clear()
    other = Client()
    other.cookies["ab"] = "b"
    assert get("/experiment/", other).content == b"variant b"


@here
def test_what_cannot_be_found_out_fails_for_those_alone_who_look_at_it(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._breaking"]
    assert status(get("/greets/?by=name")) == "fwd=miss; stored"
    broken = Client()
    broken.cookies["broken"] = "1"
    assert get("/greets/", broken).content == b"hello "
    with pytest.raises(OSError, match="nobody knows"):
        get("/greets/?by=name", broken)
