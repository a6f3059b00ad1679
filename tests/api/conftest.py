"""A project with the API, its users, and clients that are logged in."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry
from tests.outages import down, up, use

__all__ = ["down", "up", "use"]

PREFIX = "/api/system/"
PERMISSIONS = ("view_metrics", "invalidate_cache", "reset_metrics")


@pytest.fixture(autouse=True)
def project(settings: Any) -> Iterator[None]:
    """Serve the API; nothing is counted or flushed unless the test does it."""
    settings.ROOT_URLCONF = "tests.api.urls"
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware", *settings.MIDDLEWARE]
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}
    counters.discard()
    counters.flush()
    yield
    counters.discard()


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the JSON, the headers."""

    status: int
    data: Any
    headers: Any = field(repr=False)


@dataclass(frozen=True)
class Api:
    """The endpoints, as one user reaches them."""

    client: Client
    user: User | None = None

    def get(self, path: str, **query: Any) -> Answer:
        return _answer(self.client.get(PREFIX + path, query))

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        return _answer(
            self.client.post(
                PREFIX + path, content, content_type="application/json", headers=headers
            )
        )

    def invalidate(self, **body: Any) -> Answer:
        return self.post("cache/invalidate", body)


def _answer(response: Any) -> Answer:
    return Answer(response.status_code, response.json(), response.headers)


def make_user(name: str, *permissions: str, **flags: Any) -> User:
    user = User.objects.create_user(name, password="secret", **{"is_staff": True, **flags})
    kind = ContentType.objects.get_for_model(AuditEntry)
    for codename in permissions:
        # A flush between tests takes them along.
        found, _ = Permission.objects.get_or_create(codename=codename, content_type=kind)
        user.user_permissions.add(found)
    return user


@pytest.fixture
def as_user() -> Callable[..., Api]:
    """Return a client for somebody with exactly these permissions, staff unless said otherwise."""

    def log_in(*permissions: str, **flags: Any) -> Api:
        user = make_user(f"user{User.objects.count()}", *permissions, **flags)
        client = Client(enforce_csrf_checks=False)
        client.force_login(user)
        return Api(client, user)

    return log_in


@pytest.fixture
def api(db: None, as_user: Callable[..., Api]) -> Api:
    """A client for somebody who may do everything."""
    return as_user(*PERMISSIONS)


@pytest.fixture
def anonymous() -> Api:
    return Api(Client())
