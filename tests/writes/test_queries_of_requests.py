"""Requests and fixtures send the statements that they send without the app.

See `tests.writes.test_queries`, where the writes are that they are made of.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client

from cache_invalidation import no_invalidation
from tests.uninstalled import differences, sent, uninstalled

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def data(*ids: int) -> dict[str, Any]:
    return {"action": "delete_selected", "_selected_action": ids, "post": "yes"}


def form(name: str, *permissions: int) -> dict[str, Any]:
    return {"name": name, "permissions": permissions}


LOGIN = {"username": "u", "password": "p"}
REQUESTS: list[tuple[str, Callable[[Client], Any], int]] = [
    ("log in", lambda c: c.login(username="u", password="p"), 1),
    ("log in, over the form", lambda c: c.post("/admin/login/", LOGIN), 1),
    ("a list", lambda c: c.get("/admin/auth/group/"), 0),
    ("add", lambda c: c.post("/admin/auth/group/add/", form("n", 1, 2)), 0),
    ("change", lambda c: c.post("/admin/auth/group/900001/change/", form("n", 2, 3)), 0),
    ("change nothing", lambda c: c.post("/admin/auth/group/900001/change/", form("g", 1, 2)), 0),
    ("delete", lambda c: c.post("/admin/auth/group/900001/delete/", {"post": "yes"}), 0),
    ("delete some", lambda c: c.post("/admin/auth/group/", data(900001, 900002)), 0),
    ("log out", lambda c: c.post("/admin/logout/"), 0),
]


def visitor() -> Client:
    """Return a client that is logged in, after making the same rows each time."""
    with no_invalidation(), transaction.atomic():
        for model in (Group, User):
            model.objects.all().delete()
        user = User.objects.create_superuser("u", password="p", pk=900000)
        kind = ContentType.objects.get_for_model(Group)
        for pk in (1, 2, 3):
            Permission.objects.update_or_create(
                pk=pk, defaults={"name": "p", "content_type": kind, "codename": f"p{pk}"}
            )
        for pk in (900001, 900002):
            Group.objects.create(pk=pk, name="g" * (pk - 900000)).permissions.add(1, 2)
        client = Client()
        client.force_login(user)
    return client


@pytest.mark.parametrize("atomic", [False, True])
def test_no_request_has_a_statement_added(settings: Any, atomic: bool) -> None:
    settings.ROOT_URLCONF = "tests.admin.urls"
    wrong: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", atomic)
        for name, act, begins in REQUESTS:
            with uninstalled():
                client = visitor()
                expected = sent("default", lambda: act(client))  # noqa: B023
            client = visitor()
            found = sent("default", lambda: act(client))  # noqa: B023
            is_request = name != "log in"
            wrong += differences(name, found, expected, 0 if atomic and is_request else begins)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_loading_a_fixture_adds_no_statement(using: str, tmp_path: Any) -> None:
    rows = [
        {"model": "testapp.pal", "pk": 900011, "fields": {"name": "a", "follows": [900012]}},
        {"model": "testapp.pal", "pk": 900012, "fields": {"name": "b", "friends": [900011]}},
        {"model": "testapp.place", "pk": 900021, "fields": {"name": "r"}},
        {"model": "testapp.restaurant", "pk": 900021, "fields": {"cuisine": "c"}},
        {"model": "testapp.shop", "pk": "s", "fields": {"place_link": 900021}},
    ]
    fixture = tmp_path / "rows.json"
    fixture.write_text(json.dumps(rows))

    def load() -> None:
        call_command("loaddata", str(fixture), database=using, verbosity=0)

    load()
    with uninstalled():
        expected = sent(using, load)
    assert sent(using, load) == expected
