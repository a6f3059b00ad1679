"""Who sees what, and that nothing happens by looking."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from cache_invalidation import cached
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import AuditEntry, PendingInvalidation
from tests.admin.conftest import ALL, APP, page

pytestmark = pytest.mark.django_db(databases=["default", "other", "sqlite"])

MAY_SEE = {
    "dashboard/": {"view_metrics", "reset_metrics"},
    "dashboard/?period=day": {"view_metrics", "reset_metrics"},
    "dashboard/reset/": {"reset_metrics"},
    "registry/": {"view_metrics"},
    "registry/?q=product": {"view_metrics"},
    "advice/": {"view_metrics"},
    "registry/name/?name=permissions.page": {"view_metrics"},
    "registry/tag/?tag=permissions:1": {"view_metrics"},
    "invalidate/": {"invalidate_cache"},
    "pendinginvalidation/": {"view_metrics"},
    "pendinginvalidation/{row}/change/": {"view_metrics"},
    "auditentry/": {"view_metrics"},
    "auditentry/{entry}/change/": {"view_metrics"},
}


@cached(tags=["permissions:{number}"], name="permissions.page")
def read(number: int) -> int:
    return number


NEVER = [
    "pendinginvalidation/add/",
    "pendinginvalidation/{row}/delete/",
    "auditentry/add/",
    "auditentry/{entry}/delete/",
]


@pytest.fixture
def addresses(waiting):
    """Fill in the rows that there are."""
    entry = AuditEntry.objects.create(action="invalidate", user="x", origin="admin")
    row = waiting("a")
    return lambda path: APP + path.format(row=row.pk, entry=entry.pk)


@pytest.mark.parametrize("permission", ALL)
@pytest.mark.parametrize("path", MAY_SEE)
def test_a_page_is_for_those_with_its_permission(as_user, addresses, permission, path):
    status = as_user(permission).get(addresses(path)).status_code
    assert status == (200 if permission in MAY_SEE[path] else 403)


@pytest.mark.parametrize("path", [*MAY_SEE, *NEVER])
def test_without_a_permission_there_is_no_page(as_user, addresses, path):
    assert as_user().get(addresses(path)).status_code == 403


@pytest.mark.parametrize("path", NEVER)
def test_nobody_adds_or_deletes_rows(as_user, addresses, path):
    assert as_user(is_superuser=True).get(addresses(path)).status_code == 403
    assert as_user(is_superuser=True).post(addresses(path), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("kind", ["pendinginvalidation/{row}", "auditentry/{entry}"])
def test_nobody_changes_rows(as_user, addresses, kind):
    address = addresses(f"{kind}/change/")
    response = as_user(is_superuser=True).post(address, {"user": "y", "entity_type": "y"})
    assert response.status_code == 403


@pytest.mark.parametrize("path", MAY_SEE)
def test_visitors_and_customers_are_asked_to_log_in(as_user, addresses, path):
    for client in (Client(), as_user(*ALL, is_staff=False)):
        response = client.get(addresses(path))
        assert response.status_code == 302
        assert "/admin/login/" in response["Location"]


def test_without_a_permission_the_app_is_not_in_the_index(as_user):
    client = as_user()
    assert "cache_invalidation" not in client.get("/admin/").content.decode()
    assert client.get(APP).status_code == 404


def test_the_index_lists_the_pages(as_user):
    text = page(as_user("view_metrics"))
    for name in ("advice", "auditentry", "dashboard", "pendinginvalidation", "registry"):
        assert f'"{APP}{name}/"' in text
    assert f"{APP}invalidate/" not in text


FORMS = {
    "dashboard/reset/": {},
    "invalidate/": {"tags": "a", "confirm": "1"},
    "pendinginvalidation/": {"action": "discard", "confirm": "1", "_selected_action": "{row}"},
}


@pytest.mark.parametrize("path", FORMS)
def test_without_the_permission_to_act_nothing_happens(as_user, addresses, path):
    client = as_user("view_metrics")
    _assert_nothing_happens(client, addresses, path)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_from_elsewhere_does_nothing(as_user, addresses, path):
    strict = Client(enforce_csrf_checks=True)
    as_user(*ALL)
    strict.force_login(User.objects.get())
    assert _assert_nothing_happens(strict, addresses, path) == 403


def _assert_nothing_happens(client, addresses, path):
    counters.update({"hits": 3})
    before = AuditEntry.objects.count()
    row = PendingInvalidation.objects.get()
    data = {name: value.format(row=row.pk) for name, value in FORMS[path].items()}
    response = client.post(addresses(path), data)
    assert AuditEntry.objects.count() == before
    assert PendingInvalidation.objects.get() == row
    assert read_metrics()["hits"] == 3
    return response.status_code


@pytest.mark.parametrize("path", MAY_SEE)
def test_looking_changes_nothing(client, addresses, path):
    counters.update({"hits": 3})
    query = {"confirm": "1", "tags": "a", "action": "discard", "reason": "x"}
    if "pending" in path or "audit" in path:
        query = {}  # The lists of the admin refuse what they do not know.
    client.get(addresses(path), query if "?" not in path else {})
    assert AuditEntry.objects.count() == 1
    assert PendingInvalidation.objects.count() == 1
    assert read_metrics()["hits"] == 3
