"""What operators do by hand, whoever asks for it: the admin, REST or a command."""

from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections
from django.test.utils import CaptureQueriesContext

from cache_invalidation import Event, Invalidation, ModelInvalidation, cached, registry
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.operations.actions import (
    Request,
    by_rule,
    invalidate,
    outcome_of,
    preview,
    reset,
)
from cache_invalidation.operations.audit import Operator
from cache_invalidation.operations.entities import Entity
from cache_invalidation.operations.outbox import discard, retry
from tests.delivered import delivered
from tests.delivery.outbox.rows import let_wait
from tests.elsewhere import elsewhere
from tests.outages import Use, down, use
from tests.ruled import in_force
from tests.testapp.models import Category, Product
from tests.testapp.unusual import Composite

__all__ = ["down", "use"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

OPERATOR = Operator(name="somebody", origin=AuditEntry.Origin.COMMAND)


class Rule(ModelInvalidation):
    tags = ["category:{category_id}"]
    keys = ["detail:{pk}"]


rule = in_force({Product: Rule})


def make(number: int, using: str = "default") -> list[Product]:
    category = Category.objects.using(using).create(name="c")
    products = [Product(name=str(n), category=category) for n in range(number)]
    return Product.objects.using(using).bulk_create(products)


def entry() -> AuditEntry:
    return AuditEntry.objects.get()


@pytest.mark.parametrize("using", ["other", "sqlite"])
def test_a_row_is_looked_at_in_the_database_that_it_is_in(using: str):
    (here,) = make(1)
    another = 1 + (here.category_id or 0)
    category = Category.objects.using(using).create(pk=another, name="another key")
    there = Product.objects.using(using).create(pk=here.pk, name="0", category=category)
    outcome = preview(Request(entities=[Entity(model=Product, pk=here.pk, using=using)]))
    assert f"category:{there.category_id}" in outcome.tags
    assert f"category:{here.category_id}" not in outcome.tags


def test_rows_are_read_together():
    entities = [Entity(model=Product, pk=product.pk) for product in make(50)]
    with CaptureQueriesContext(connections["default"]) as queries:
        request = Request(entities=entities)
        assert len(preview(request).keys) == 50
        assert by_rule(request)
    assert len(queries) == 1


def test_a_row_that_is_not_there_any_more_stands_for_any():
    (product,) = make(1)
    keys = [product.pk, 999_999]
    outcome = preview(Request(entities=[Entity(model=Product, pk=key) for key in keys]))
    assert "category:*" in outcome.tags
    assert set(outcome.keys) == {f"detail:{key}" for key in keys}


def test_rows_with_composite_keys_are_read_together():
    rows = [Composite.objects.create(tenant=n) for n in range(3)]
    request = Request(entities=[Entity(model=Composite, pk=row.pk) for row in rows])
    assert [change.new for change in request.changes] == rows


def test_many_tags_of_a_family_are_told_as_what_is_dropped(settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 3}
    request = Request(tags=["homepage", *(f"category:{n}" for n in range(4))])
    assert preview(request).tags == ("category:*", "homepage")
    assert invalidate(request, OPERATOR).tags == ("category:*", "homepage")
    assert entry().targets["tags"] == ["category:*", "homepage"]


class TestPatternsWhereKeysCannotBeListed:
    @pytest.fixture(autouse=True)
    def cache(self, settings) -> None:
        settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}

    def test_those_that_are_asked_for_are_refused(self):
        with pytest.raises(ValueError, match="knows no patterns"):
            Request(patterns=["detail:*"])

    def test_those_of_rules_are_told_and_kept_in_the_log(self):
        caches["redis_django"].set("detail:1", "old")
        request = Request(entities=[Entity(model=Product)], tags=["homepage"])
        assert preview(request).lost == ("detail:*",)
        outcome = invalidate(request, OPERATOR)
        assert (outcome.result, outcome.lost) == (AuditEntry.Result.PARTLY, ("detail:*",))
        assert caches["redis_django"].get("detail:1") == "old"
        assert outcome_of(entry()) == outcome

    def test_without_patterns_it_is_done(self):
        outcome = invalidate(Request(tags=["homepage"]), OPERATOR)
        assert (outcome.result, outcome.lost) == (AuditEntry.Result.DONE, ())


def test_everything_is_seen_whoever_says_it():
    def subscriber(event: Event) -> Invalidation:
        return Invalidation(tags=["*"])

    class Failing(ModelInvalidation):
        def get_tags(self, change: Any) -> Any:
            raise ZeroDivisionError

    assert preview(Request(tags=["*"])).emptied
    assert not preview(Request(tags=["a"], entities=[Entity(model=Product)])).emptied
    with registry.override(Product, Failing):
        assert preview(Request(entities=[Entity(model=Product)])).emptied
    registry.on_event("everything", subscriber)
    try:
        assert preview(Request(events=[Event(name="everything", payload={})])).emptied
    finally:
        registry.off_event(subscriber)


@pytest.mark.parametrize("bad", ["\0", "\udcff"])
def test_what_somebody_types_in_does_not_keep_an_action_out_of_the_log(bad: str):
    operator = Operator(name=f"a{bad}b", origin=AuditEntry.Origin.COMMAND, address=f"c{bad}")
    invalidate(Request(tags=["a"]), operator, reason=f"why{bad}", idempotency_key=f"key{bad}")
    reset(operator, reason=bad)
    found = AuditEntry.objects.order_by("pk")
    assert [(e.action, e.result) for e in found] == [
        ("invalidate", "done"),
        ("reset-metrics", "done"),
    ]
    assert found[0].reason.startswith("why")
    assert len(found[0].reason) == 4


def test_rows_are_delivered_at_once_and_no_others():
    let_wait(4, next_attempt="2100-01-01T00:00Z")
    pks = list(PendingInvalidation.objects.order_by("pk").values_list("pk", flat=True))
    with delivered() as found:
        assert retry(OPERATOR, pks[1:3], using="default") == 2
    assert found.tags == {"default:1", "default:2"}
    assert [row.pk for row in PendingInvalidation.objects.order_by("pk")] == [pks[0], pks[3]]
    assert (entry().targets["pks"], entry().detail) == (pks[1:3], {"delivered": 2})


def test_what_was_discarded_is_in_the_log_and_nothing_else():
    @cached(tags=["default:0"], name="actions.page")
    def page() -> int:
        return 1

    let_wait(3)
    pks = list(PendingInvalidation.objects.order_by("pk").values_list("pk", flat=True))
    assert discard(OPERATOR, [*pks[:2], 999_999], using="default") == 2
    assert entry().targets == {"using": "default", "pks": pks[:2]}
    assert [row["tags"] for row in entry().detail["discarded"]] == [["default:0"], ["default:1"]]
    assert [row.pk for row in PendingInvalidation.objects.all()] == pks[2:]


def test_a_row_that_somebody_delivers_meanwhile_is_not_called_discarded():
    """Deletes one of the rows between the look at them and the lock."""
    let_wait(2)
    first, second = PendingInvalidation.objects.order_by("pk")

    def deliver_first(execute: Any, sql: str, *rest: Any) -> Any:
        if "FOR UPDATE" in sql:
            elsewhere(PendingInvalidation.objects.filter(pk=first.pk).delete)
        return execute(sql, *rest)

    with connections["default"].execute_wrapper(deliver_first):
        assert discard(OPERATOR, [first.pk, second.pk], using="default") == 1
    assert [row["tags"] for row in entry().detail["discarded"]] == [second.targets["tags"]]


def test_in_an_outage_what_waits_is_named(down: Use):
    outcome = invalidate(Request(tags=["a"]), OPERATOR)
    assert outcome.result is AuditEntry.Result.PENDING
    assert outcome.pending == (PendingInvalidation.objects.get().pk,)
