"""Keys that are made up before the row exists."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from cache_invalidation import ModelInvalidation, cached, registry
from tests.observing import Delivered
from tests.testapp.models import Voucher

pytestmark = pytest.mark.django_db(transaction=True)


class Rule(ModelInvalidation):
    tags = ["voucher:{code}"]


@pytest.fixture(autouse=True)
def rule() -> Iterator[None]:
    with registry.override(Voucher, Rule):
        yield


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
