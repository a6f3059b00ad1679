"""Who may do what, how often, and in which form."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections
from django.test import Client
from django.urls import resolve, reverse
from rest_framework.authentication import BasicAuthentication
from rest_framework.settings import api_settings

from cache_invalidation.api import views
from cache_invalidation.api.access import OperatorThrottle
from cache_invalidation.api.limits import MAX_BODY
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.actions import invalidate
from tests.api.conftest import PERMISSIONS, PREFIX, Api, make_user

pytestmark = pytest.mark.django_db

AsUser = Callable[..., Api]

ENDPOINTS = [
    ("get", "metrics/cache", "view_metrics"),
    ("post", "cache/invalidate", "invalidate_cache"),
    ("post", "cache/reset-metrics", "reset_metrics"),
    ("get", "cache/registry", "view_metrics"),
    ("get", "cache/advice", "view_metrics"),
    ("get", "cache/pending", "view_metrics"),
]
endpoints = pytest.mark.parametrize(("method", "path", "permission"), ENDPOINTS)


def call(api: Api, method: str, path: str) -> Any:
    if method == "get":
        return api.get(path)
    return api.post(path, {"tags": ["a"]} if "invalidate" in path else {})


def nothing_was_done() -> bool:
    return not AuditEntry.objects.exists()


@endpoints
@pytest.mark.parametrize("slash", ["", "/"])
def test_staff_with_the_permission_get_in(
    as_user: AsUser, method: str, path: str, permission: str, slash: str
):
    assert call(as_user(permission), method, path + slash).status == 200


@endpoints
def test_staff_with_every_other_permission_are_refused(
    as_user: AsUser, method: str, path: str, permission: str
):
    api = as_user(*(name for name in PERMISSIONS if name != permission))
    answer = call(api, method, path)
    assert answer.status == 403
    assert list(answer.data) == ["detail"]
    assert nothing_was_done()


@endpoints
def test_the_permission_without_being_staff_is_not_enough(
    as_user: AsUser, method: str, path: str, permission: str
):
    assert call(as_user(permission, is_staff=False), method, path).status == 403
    assert nothing_was_done()


@endpoints
def test_somebody_who_was_deactivated_is_refused(
    as_user: AsUser, method: str, path: str, permission: str
):
    api = as_user(permission)
    User.objects.update(is_active=False)
    assert call(api, method, path).status == 403
    assert nothing_was_done()


@endpoints
def test_a_superuser_gets_in(as_user: AsUser, method: str, path: str, permission: str):
    assert call(as_user(is_superuser=True), method, path).status == 200


@endpoints
def test_nobody_gets_in_without_logging_in(anonymous: Api, method: str, path: str, permission: str):
    assert call(anonymous, method, path).status == 403
    assert nothing_was_done()


def test_an_authentication_that_names_a_challenge_answers_401(anonymous: Api, monkeypatch: Any):
    view: Any = views.MetricsViewSet
    assert view.authentication_classes == api_settings.DEFAULT_AUTHENTICATION_CLASSES
    monkeypatch.setattr(view, "authentication_classes", [BasicAuthentication])
    answer = anonymous.get("metrics/cache")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_wrong_password_is_401_or_403():
    answer = Client().get(
        PREFIX + "metrics/cache", headers={"Authorization": "Basic " + "dXNlcjpub25l"}
    )
    assert answer.status_code in (401, 403)


def test_the_permissions_are_those_of_the_migration():
    assert {name for name, _ in AuditEntry._meta.permissions} == set(PERMISSIONS)


def test_a_session_needs_the_csrf_token():
    user = make_user("eve", "invalidate_cache")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    body: dict[str, Any] = {"data": {"tags": ["a"]}, "content_type": "application/json"}
    assert client.post(PREFIX + "cache/invalidate", **body).status_code == 403
    assert nothing_was_done()
    # A page of the browsable API, which this user may see, hands out the token.
    client.get(PREFIX + "cache/invalidate", headers={"Accept": "text/html"})
    token = client.cookies["csrftoken"].value
    answer = client.post(PREFIX + "cache/invalidate", headers={"X-CSRFToken": token}, **body)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
@pytest.mark.parametrize("path", ["cache/invalidate", "cache/reset-metrics"])
def test_only_json_is_taken(api: Api, path: str, content_type: str):
    response = api.client.post(PREFIX + path, b'{"tags": ["a"]}', content_type=content_type)
    assert response.status_code == 415
    assert nothing_was_done()


@endpoints
def test_other_methods_are_refused(api: Api, method: str, path: str, permission: str):
    other = api.client.post if method == "get" else api.client.get
    assert other(PREFIX + path).status_code == 405
    assert api.client.delete(PREFIX + path).status_code == 405
    assert api.client.options(PREFIX + path).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b'"tags"', b"[]", b"null", b"7", b"[" * 200_000, b'{"a": ' * 150_000, b"NaN"],
    ids=["cut", "bytes", "text", "list", "null", "number", "deep-list", "deep-object", "nan"],
)
@pytest.mark.parametrize("path", ["cache/invalidate", "cache/reset-metrics"])
def test_what_is_no_json_object_is_refused(api: Api, path: str, body: bytes):
    assert api.post(path, body).status == 400
    assert nothing_was_done()


def test_a_body_that_is_too_long_is_refused(api: Api):
    def body(length: int) -> bytes:
        return json.dumps({"tags": ["a"]}).ljust(length).encode()

    assert api.post("cache/invalidate", body(MAX_BODY)).status == 200
    answer = api.post("cache/invalidate", body(MAX_BODY + 1))
    assert answer.status == 413
    assert str(MAX_BODY) in answer.data["detail"]
    assert AuditEntry.objects.count() == 1


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the rates of a project, and count in a cache of one's own."""
    monkeypatch.setattr(OperatorThrottle, "cache", LocMemCache("throttle", {}))
    OperatorThrottle.cache.clear()

    def set_rates(settings: Any, **found: str) -> None:
        settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": found}

    return set_rates


def test_there_is_no_limit_unless_the_project_sets_one(api: Api, settings: Any, rates: Any):
    for found in ({}, {"user": "1/day"}):
        rates(settings, **found)
        assert [api.get("cache/registry").status for _ in range(4)] == [200] * 4


def test_reads_and_writes_are_limited_apart(api: Api, as_user: AsUser, settings: Any, rates: Any):
    rates(settings, cache_invalidation_read="2/hour", cache_invalidation_write="1/hour")
    assert api.invalidate(tags=["a"]).status == 200
    throttled = api.invalidate(tags=["a"])
    assert throttled.status == 429
    assert int(throttled.headers["Retry-After"]) > 0
    assert api.post("cache/reset-metrics").status == 429
    paths = ["metrics/cache", "cache/registry", "cache/pending"]
    assert [api.get(path).status for path in paths] == [200, 200, 429]
    assert as_user("invalidate_cache").invalidate(tags=["a"]).status == 200


def test_operators_are_not_locked_out_by_an_outage_of_the_cache_that_counts(
    api: Api, settings: Any, down: Any
):
    rates = {"DEFAULT_THROTTLE_RATES": {"cache_invalidation_read": "9/hour"}}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | rates
    with pytest.raises(Exception, match="nobody-listens-here"):
        caches["default"].get("x")
    assert api.get("cache/registry").status == 200


def test_a_rate_that_is_misspelled_is_not_passed_over(api: Api, settings: Any, rates: Any):
    rates(settings, cache_invalidation_read="9/fortnight")
    with pytest.raises(KeyError):
        api.get("cache/registry")


@pytest.mark.parametrize("path", [path for _, path, _ in ENDPOINTS])
@pytest.mark.parametrize("slash", ["", "/"])
def test_no_endpoint_runs_in_the_transaction_of_the_request(path: str, slash: str):
    view: Any = resolve(PREFIX + path + slash).func
    assert view._non_atomic_requests >= set(connections)


@pytest.mark.django_db(transaction=True)
def test_a_project_that_wants_a_transaction_for_each_request_gets_none_here(
    api: Api, monkeypatch: Any
):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    found = []

    def spy(*args: Any, **options: Any) -> Any:
        found.append(connections["default"].in_atomic_block)
        return invalidate(*args, **options)

    monkeypatch.setattr(views, "invalidate", spy)
    view: Any = resolve(PREFIX + "cache/invalidate").func
    assert api.invalidate(tags=["a"]).status == 200
    # Any other view does get one.
    monkeypatch.setattr(view, "_non_atomic_requests", set())
    assert api.invalidate(tags=["a"]).status == 200
    assert found == [False, True]


@endpoints
def test_no_answer_is_kept_by_a_cache_of_pages(api: Api, method: str, path: str, permission: str):
    assert "no-store" in call(api, method, path).headers["Cache-Control"]


def test_the_names_of_the_endpoints_lead_to_the_paths_without_a_slash():
    names = ["metrics", "invalidate", "reset-metrics", "registry", "advice", "pending"]
    found = [reverse(f"cache_invalidation:{name}") for name in names]
    assert found == [PREFIX + path for _, path, _ in ENDPOINTS]


def test_the_browsable_api_shows_a_form_with_every_field(api: Api):
    response = api.client.get(PREFIX + "cache/invalidate", headers={"Accept": "text/html"})
    page = response.content.decode()
    assert response.status_code == 405
    assert "<textarea" in page
    for name in ("tags", "keys", "patterns", "entities", "everything", "dry_run", "reason"):
        assert f"&quot;{name}&quot;" in page


@pytest.mark.parametrize("path", ["metrics/cache", "cache/registry", "cache/pending?limit=1"])
def test_the_browsable_api_shows_what_is_read(api: Api, path: str):
    response = api.client.get(PREFIX + path, headers={"Accept": "text/html"})
    assert response.status_code == 200
    assert "<textarea" not in response.content.decode()


def test_the_browsable_api_offers_nothing_that_the_user_may_not_do(as_user: AsUser):
    api = as_user("view_metrics")
    response = api.client.get(PREFIX + "cache/invalidate", headers={"Accept": "text/html"})
    assert response.status_code == 403
    assert "<textarea" not in response.content.decode()
