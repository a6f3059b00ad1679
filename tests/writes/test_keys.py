"""Keys that are made up before the row exists."""

from uuid import UUID

import pytest
from django.db import IntegrityError, connection, models
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from cache_invalidation import ModelInvalidation, cached
from cache_invalidation.writes.bulk import _finds_the_same_again
from tests.delivered import Delivered
from tests.ruled import in_force
from tests.testapp.made import models_forgotten
from tests.testapp.models import Voucher
from tests.testapp.unusual import Composite

pytestmark = pytest.mark.django_db(transaction=True)


class Rule(ModelInvalidation):
    tags = ["voucher:{code}"]


rule = in_force({Voucher: Rule})


def codes(found: Delivered) -> set[str]:
    return found.family("voucher")


def test_a_new_row_is_not_looked_for() -> None:
    with CaptureQueriesContext(connection) as queries:
        Voucher.objects.create(code="new")
    assert [query["sql"].split()[0] for query in queries] == ["BEGIN", "INSERT", "COMMIT"]


def test_a_row_that_is_overwritten_by_its_key_names_its_old_state(deliveries: Delivered) -> None:
    old = Voucher.objects.create(code="old")
    deliveries.clear()
    Voucher(pk=old.pk, code="forced").save(force_update=True)
    assert codes(deliveries) == {"voucher:old", "voucher:forced"}
    deliveries.clear()
    Voucher.objects.update_or_create(pk=old.pk, defaults={"code": "updated"})
    assert codes(deliveries) == {"voucher:forced", "voucher:updated"}


def test_a_key_that_exists_is_refused_as_ever(deliveries: Delivered) -> None:
    old = Voucher.objects.create(code="old")
    deliveries.clear()
    with pytest.raises(IntegrityError):
        Voucher(pk=old.pk, code="twice").save()
    assert deliveries == []


def test_a_key_given_as_text_is_the_same_row() -> None:
    voucher = Voucher.objects.create(code="old")

    @cached(tags=["testapp.voucher:{pk}"], name="voucher-code")
    def code_of(pk: UUID) -> str:
        return Voucher.objects.get(pk=pk).code

    assert code_of(voucher.pk) == "old"
    Voucher(pk=voucher.pk.hex, code="new").save(force_update=True)
    assert code_of(voucher.pk) == "new"


def test_a_composite_key_given_as_text_is_that_of_the_database(deliveries: Delivered) -> None:
    number = UUID("0f0e0d0c-0b0a-0908-0706-050403020100")
    Composite(tenant="1", number=str(number)).save(force_insert=True)
    assert f"testapp.composite:{(1, number)}" in deliveries.tags


def test_what_a_row_refers_to_within_its_table_may_change_while_rows_are_updated() -> None:
    with models_forgotten():

        class Node(models.Model):
            name = models.CharField(max_length=100)
            parent = models.ForeignKey("self", models.CASCADE, null=True)

            class Meta:
                app_label = "testapp"

        nodes: QuerySet[Node] = QuerySet(Node)
        assert _finds_the_same_again(nodes.filter(name="x"))
        assert _finds_the_same_again(nodes.filter(parent=3))
        assert not _finds_the_same_again(nodes.filter(parent__name="x"))
