"""Responses come from the cache, and are those that the API would give without one."""

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from rest_framework.permissions import IsAdminUser

from cache_invalidation.views import invalidate_page
from tests.rest import urls
from tests.rest.conftest import Asker, status, told
from tests.testapp.models import Author, Category, Product, Review

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("goods")]

STORED, HIT = "fwd=miss; stored", "hit"


def hits(asker: Asker, path: str, **headers: str) -> None:
    """See that `path` is stored and then found, and is right both times."""
    right = told(asker.uncached(path, **headers))
    first, second = asker.get(path, **headers), asker.get(path, **headers)
    assert [status(first), status(second)] == [STORED, HIT]
    assert told(first) == told(second) == right


PATHS = [
    *("products/", "products/?page=2", "products/?page_size=5&ordering=-price", "reviews/"),
    *("products/?search=3", "products/?price__gte=1", "decorated/cheap/", "account/"),
    *("categories/", "categories/?limit=1&offset=1", "plain/?q=1", "total/?q=1"),
]


def test_what_was_asked_for_before_comes_from_the_cache():
    for version in ("v1", "v2"):
        for path in PATHS:
            hits(Asker("alice"), f"/{version}/{path}")


def test_one_row_comes_from_the_cache():
    hits(Asker(), f"/v1/products/{Product.objects.all()[0].pk}/")


def test_a_write_is_seen_by_the_next_request():
    asker, product = Asker(), Product.objects.all()[0]
    for path in ("/v1/products/", f"/v1/products/{product.pk}/", "/v1/total/"):
        hits(asker, path)
    product.name = "another"
    product.save()
    Product.objects.create(name="one more")
    for path in ("/v1/products/", f"/v1/products/{product.pk}/", "/v1/total/"):
        assert status(response := asker.get(path)) == STORED
        assert told(response) == told(asker.uncached(path))


def test_parameters_that_nobody_looks_at_make_no_entries():
    asker = Asker()
    asker.get("/v1/total/?q=1")
    assert status(asker.get("/v1/total/?q=1&utm_source=x")) == HIT
    assert status(asker.get("/v1/total/?q=2")) == STORED


def test_filters_look_at_their_own_parameters_only():
    asker = Asker()
    asker.get("/v1/scarce/?price__gte=1&utm_source=x")
    assert status(asker.get("/v1/scarce/?price__gte=1&utm_source=y")) == HIT
    assert status(asker.get("/v1/products/?price__gte=1")) == STORED
    assert status(asker.get("/v1/scarce/?price__gte=2", Authorization="Token bob")) == STORED


def test_each_renderer_and_media_type_has_its_own():
    asker = Asker()
    for accept in ("application/json", "application/json; indent=4", "text/plain"):
        hits(asker, "/v1/products/", Accept=accept)
    assert status(asker.get("/v1/products/?format=txt")) == STORED


def test_the_browsable_api_is_not_stored():
    asker = Asker()
    for _ in range(2):
        response = asker.get("/v1/products/", Accept="text/html")
        assert status(response) == "fwd=bypass; detail=browsable"
        assert b"</html>" in response.content


def test_each_user_has_what_is_made_for_them():
    alice, staff = Asker("alice"), Asker("staff")
    for asker in (alice, staff, Asker()):
        hits(asker, "/v1/products/")
    assert alice.get("/v1/products/").content != staff.get("/v1/products/").content


def test_a_session_and_a_token_are_told_apart():
    token, session = Asker("alice"), Asker()
    session.client.force_login(_user("alice"))
    hits(token, "/v1/account/")
    hits(session, "/v1/account/")
    hits(Asker("alice", "read"), "/v1/account/")


def test_what_does_not_look_at_the_user_is_for_all_of_them():
    Asker("alice").get("/v1/categories/")
    assert status(Asker("bob").get("/v1/categories/")) == HIT


def test_whoever_may_not_see_an_object_gets_none_from_the_cache():
    path = f"/v1/reviews/{Review.objects.get(rating=1).pk}/"
    hits(Asker("alice"), path)
    assert Asker("bob").get(path).status_code == 403
    assert Asker().get(path).status_code == 401


def test_a_permission_that_is_withdrawn_is_withdrawn():
    path, alice = f"/v1/reviews/{Review.objects.get(rating=1).pk}/", Asker("alice")
    hits(alice, path)
    Author.objects.all().delete()
    assert alice.get(path).status_code == 403


def test_what_the_permission_of_a_view_denies_does_not_come_from_the_cache(monkeypatch):
    monkeypatch.setattr(urls.Categories, "permission_classes", [IsAdminUser])
    hits(Asker("staff"), "/v1/categories/")
    assert Asker("alice").get("/v1/categories/").status_code == 403
    assert Asker("nobody").get("/v1/categories/").status_code == 401


def test_a_throttle_counts_hits_and_denies_them():
    asker = Asker("alice")
    assert status(asker.get("/v1/scarce/")) == STORED
    assert status(asker.get("/v1/scarce/")) == HIT
    denied = asker.get("/v1/scarce/")
    assert denied.status_code == 429
    assert denied.headers["Retry-After"]


def test_what_is_not_there_is_not_stored():
    asker = Asker()
    for _ in range(2):
        response = asker.get("/v1/products/0/")
        assert (response.status_code, status(response)) == (404, "fwd=bypass; detail=exception")
    product = Product.objects.create(pk=10_000, name="there")
    assert asker.get(f"/v1/products/{product.pk}/").status_code == 200


@pytest.mark.parametrize("query", ["page=99", "price__gte=x", "format=none"])
def test_errors_are_those_of_the_view(query):
    asker = Asker()
    for _ in range(2):
        right = told(asker.uncached(f"/v1/products/?{query}"))
        assert told(asker.get(f"/v1/products/?{query}")) == right
        assert right[0] in (400, 404)


def test_head_is_answered_from_what_get_has_stored_and_options_is_not():
    asker = Asker()
    assert status(asker.client.head("/v1/products/")) == "fwd=bypass; detail=method"
    asker.get("/v1/products/")
    head = asker.client.head("/v1/products/")
    assert (status(head), head.content) == (HIT, b"")
    options = asker.client.options("/v1/products/")
    assert (options.status_code, status(options)) == (200, "")
    assert "parses" in options.json()


def test_other_methods_are_not_cached_and_are_seen():
    staff, path = Asker("staff"), "/v1/products/"
    _user("staff").user_permissions.add(_permission("add_product"))
    hits(staff, path)
    made = staff.client.post(
        path, {"name": "made", "stock": 1, "category": _category()}, headers=staff.headers
    )
    assert (made.status_code, status(made)) == (201, "")
    assert status(staff.get(path)) == STORED


def test_a_client_that_has_it_is_told_so():
    asker = Asker()
    etag = asker.get("/v1/products/").headers["ETag"]
    response = asker.get("/v1/products/", **{"If-None-Match": etag})
    assert response.status_code == 304
    assert response.headers["Cache-Control"] == "private, no-cache"
    Product.objects.create(name="more")
    assert asker.get("/v1/products/", **{"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize(
    ("path", "view"),
    [
        ("products/", urls.Products),
        ("products/", urls.Products.as_view({"get": "list"})),
        ("decorated/cheap/", urls.Decorated),
        ("plain/", urls.Plain),
        ("total/", urls.total),
        ("products/", "tests.rest.urls.Products"),
        ("products/", "tests.rest.urls.Products.list"),
        ("total/", "tests.rest.urls.total"),
    ],
    ids=[
        *("viewset", "viewset in a URL", "decorated action", "view", "function"),
        *("name of a viewset", "name of an action", "name of a function"),
    ],
)
def test_the_responses_of_a_view_are_dropped_by_it(path, view):
    asker = Asker()
    hits(asker, f"/v1/{path}")
    invalidate_page(view)
    assert status(asker.get(f"/v1/{path}")) == STORED


def test_our_own_endpoints_are_not_cached():
    asker = Asker()
    asker.client.force_login(_user("staff"))
    for _ in range(2):
        response = asker.client.get("/system/metrics/cache")
        assert status(response) == ""


def _user(name):
    return User.objects.get(username=name)


def _permission(codename):
    kind = ContentType.objects.get_for_model(Product)
    return Permission.objects.get_or_create(codename=codename, content_type=kind)[0]


def _category():
    return Category.objects.all()[0].pk
