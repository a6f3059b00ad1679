"""The admin with its pages, and users of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry, PendingInvalidation
from tests.outages import down, up, use

__all__ = ["down", "up", "use"]

APP = "/admin/cache_invalidation/"
ALL = ("view_metrics", "invalidate_cache", "reset_metrics")


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[None]:
    """Serve the admin; nothing is counted or flushed unless the test does it."""
    settings.ROOT_URLCONF = "tests.admin.urls"
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}
    counters.discard()
    counters.flush()
    yield
    counters.discard()


@pytest.fixture
def as_user(db: None) -> Callable[..., Client]:
    """Return a client for a user of the staff with exactly these permissions, and flags."""

    def log_in(*permissions: str, **flags: bool) -> Client:
        name = f"user{User.objects.count()}"
        user = User.objects.create(username=name, **{"is_staff": True, **flags})
        kind = ContentType.objects.get_for_model(AuditEntry)
        for codename in permissions:
            # A flush between tests takes them along.
            found, _ = Permission.objects.get_or_create(codename=codename, content_type=kind)
            user.user_permissions.add(found)
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def client(as_user: Callable[..., Client]) -> Client:
    """A client for somebody who may do everything."""
    return as_user(*ALL)


@pytest.fixture
def waiting(db: None) -> Callable[..., PendingInvalidation]:
    """Put an invalidation into the outbox."""

    def wait(*tags: str, using: str = "default", **values: Any) -> PendingInvalidation:
        targets = {"tags": list(tags), "entries": [], "keys": [], "patterns": []}
        return PendingInvalidation.objects.using(using).create(
            targets=targets, **{"entities": {"shop": 1}, "entity_type": "shop", **values}
        )

    return wait


def page(client: Client, path: str = "", *, status: int = 200, **query: Any) -> str:
    """Return what the page at `path` of this app says."""
    response = client.get(f"{APP}{path}", query)
    assert response.status_code == status, response.content.decode()[:2000]
    return response.content.decode()


def send(client: Client, path: str, **data: Any) -> str:
    """Send a form; return what the page says that the user sees in the end."""
    response = client.post(f"{APP}{path}", data, follow=True)
    assert response.status_code == 200, response.content.decode()[:2000]
    return response.content.decode()


def last_entry() -> AuditEntry:
    entry = AuditEntry.objects.first()
    assert entry is not None
    return entry
