"""POST cache/invalidate: what it does, what it says, what it refuses."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cache_invalidation import ModelInvalidation, cached
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.testing import override_rules
from tests.api.conftest import Api
from tests.delivered import commands, delivered
from tests.testapp.models import Product, Restaurant
from tests.testapp.unusual import Composite


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}"]
    keys = ["product-detail:{pk}"]
    patterns = ["product-list:{category_id}:*"]
    entity_type = "product"


@pytest.fixture(autouse=True)
def rules():
    with override_rules({Product: ProductRule}):
        yield


@cached(tags=[Product], timeout=60, name="api.names")
def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


def rename_unseen(name: str) -> None:
    """Change the rows as another program would, of which no cache is told."""
    with connection.cursor() as cursor:
        raw: Any = cursor.cursor
        raw.execute(f"UPDATE testapp_product SET name = '{name}'")


@pytest.fixture
def stale(transactional_db: None) -> Product:
    """A page that is cached, and no longer true."""
    product = Product.objects.create(name="old")
    assert names() == ["old"]
    rename_unseen("new")
    assert names() == ["old"], "nothing is cached, so this proves nothing"
    return product


@pytest.mark.parametrize(
    "body",
    [
        {"tags": ["testapp.product"]},
        {"entities": [{"type": "testapp.product"}]},
        {"entities": [{"type": "testapp.Product"}]},
        {"entities": [{"type": "product"}]},
        {"tags": ["*"], "everything": True},
    ],
    ids=str,
)
def test_a_page_that_is_really_cached_is_fresh_afterwards(
    stale: Product, api: Api, body: dict[str, Any]
):
    answer = api.invalidate(**body)
    assert (answer.status, answer.data["result"]) == (200, "done")
    assert names() == ["new"]


def test_a_row_is_invalidated_as_if_it_had_been_saved(stale: Product, api: Api):
    caches["default"].set("product-detail:1", "kept")
    caches["default"].set(f"product-detail:{stale.pk}", "gone")
    caches["default"].set("product-list:None:1", "gone")
    answer = api.invalidate(entities=[{"type": "testapp.product", "id": stale.pk}])
    assert answer.data == {
        "dry_run": False,
        "result": "done",
        "tags": ["category:None", "testapp.product", f"testapp.product:{stale.pk}"],
        "keys": [f"product-detail:{stale.pk}"],
        "patterns": ["product-list:None:*"],
        "entities": {"product": 1},
        "lost": [],
        "unread": [],
        "pending": [],
        "audit": AuditEntry.objects.get().pk,
    }
    assert names() == ["new"]
    assert caches["default"].get("product-list:None:1") is None
    assert caches["default"].get(f"product-detail:{stale.pk}") is None


def test_names_are_taken_as_they_are(api: Api):
    with delivered() as found:
        answer = api.invalidate(tags=[" a", "grün:✓", "a:1"], keys=["k k"], patterns=["x:[ab]*"])
    assert answer.status == 200
    assert found.tags == {" a", "grün:✓", "a:1"}
    assert (found.keys, found.patterns) == ({"k k"}, {"x:[ab]*"})


@pytest.mark.parametrize(
    "body",
    [
        {"tags": ["testapp.product"], "keys": ["k"], "patterns": ["p*"]},
        {"entities": [{"type": "testapp.product"}]},
        {"tags": ["*"], "everything": True},
    ],
    ids=str,
)
def test_a_dry_run_touches_nothing_and_shows_what_would_go(
    stale: Product, api: Api, redis_client: redis.Redis, body: dict[str, Any]
):
    with commands(redis_client) as sent, CaptureQueriesContext(connection) as queries:
        answer = api.post(
            "cache/invalidate",
            {**body, "dry_run": True, "reason": "why"},
            **{"Idempotency-Key": "once"},
        )
    assert set(sent) <= {"hgetall"}  # What is known to depend on the tags.
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert not AuditEntry.objects.exists()
    assert not PendingInvalidation.objects.exists()
    assert names() == ["old"]
    assert (answer.status, answer.data["dry_run"], answer.data["result"]) == (200, True, None)
    real = api.invalidate(**body)
    assert real.status == 200
    for name in ("tags", "keys", "patterns", "entities"):
        assert answer.data[name] == real.data[name]
    assert any(real.data[name] for name in ("tags", "keys", "patterns"))
    assert names() == ["new"]


@pytest.mark.django_db
def test_a_row_that_is_gone_is_invalidated_by_its_key(api: Api):
    answer = api.invalidate(entities=[{"type": "testapp.product", "id": 999}])
    assert answer.data["tags"] == ["category:*", "testapp.product", "testapp.product:999"]
    assert answer.data["patterns"] == ["product-list:*:*"]


@pytest.mark.django_db
def test_a_model_without_its_table_is_invalidated_all_the_same(api: Api, caplog: Any):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_product RENAME TO elsewhere")
    answer = api.invalidate(entities=[{"type": "testapp.product", "id": 7}])
    assert answer.status == 200
    assert "testapp.product:7" in answer.data["tags"]
    assert "cannot be read" in caplog.text


@pytest.mark.django_db
def test_keys_of_every_kind_are_understood(api: Api):
    voucher, number = uuid4(), uuid4()
    place = Restaurant.objects.create(name="a").pk
    answer = api.invalidate(
        entities=[
            {"type": "testapp.voucher", "id": voucher.hex},
            {"type": "testapp.composite", "id": [3, str(number)]},
            {"type": "testapp.restaurant", "id": place},
            {"type": "testapp.product", "id": "42"},
        ]
    )
    assert answer.status == 200
    saved = {f"testapp.voucher:{voucher}", "testapp.product:42"}
    saved |= {f"testapp.restaurant:{place}", f"testapp.place:{place}"}
    assert saved <= set(answer.data["tags"])
    with delivered() as found:
        Composite.objects.create(tenant=3, number=number)
    assert found.tags <= set(answer.data["tags"])


@pytest.mark.django_db
def test_the_audit_log_says_who_when_from_where_what_why_and_with_what_result(api: Api):
    before = datetime.now(UTC)
    body = {"tags": ["audited-b", "audited-a"], "keys": ["k"], "reason": "prices were wrong"}
    answer = api.post("cache/invalidate", body, **{"X-Forwarded-For": "1.2.3.4"})
    entry = AuditEntry.objects.get(pk=answer.data["audit"])
    assert api.user is not None
    assert (entry.user, entry.user_key) == (api.user.username, str(api.user.pk))
    assert before <= entry.when <= datetime.now(UTC)
    assert (entry.origin, entry.address) == ("rest", "127.0.0.1")
    assert (entry.action, entry.reason, entry.result) == (
        "invalidate",
        "prices were wrong",
        "done",
    )
    assert entry.targets == {"tags": ["audited-a", "audited-b"], "keys": ["k"], "patterns": []}
    assert entry.detail == {
        "entities": {"manual": 1},
        "lost": [],
        "pending": [],
        "unread": ["audited-a", "audited-b"],
    }


@pytest.mark.django_db
def test_what_is_done_does_not_depend_on_the_audit_log(api: Api, caplog: Any):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cache_invalidation_auditentry RENAME TO elsewhere")
    with delivered() as found:
        answer = api.invalidate(tags=["a"])
    assert (answer.status, answer.data["result"], answer.data["audit"]) == (200, "done", None)
    assert found.tags == {"a"}
    assert "is not in the audit log" in caplog.text
