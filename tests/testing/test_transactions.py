"""`capture_invalidations` among transactions: those around the block, in it, and begun in it."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import TestCase
from model_bakery import baker

from cache_invalidation import invalidate
from cache_invalidation.testing import Captured, capture_invalidations
from tests.delivered import delivered
from tests.testapp.models import Product, Tag


@pytest.mark.parametrize("depth", range(3))
def test_what_was_written_before_the_block_is_not_captured_and_the_same_in_it_is(database, depth):
    product = baker.make(Product)
    nested = [transaction.atomic() for _ in range(depth)]
    for block in nested:
        block.__enter__()
    product.save()
    invalidate(tags=["before"])
    with capture_invalidations() as captured:
        product.save()
    with capture_invalidations() as after:
        pass
    for block in reversed(nested):
        block.__exit__(None, None, None)
    assert captured.tags == {"testapp.product", f"testapp.product:{product.pk}"}
    assert captured.entities == {"testapp.product": 1}
    assert not after


def test_a_block_leaves_to_commit_what_was_written_before_in_and_after_it(transactional_db):
    with delivered() as found:
        with transaction.atomic():
            invalidate(tags=["before"])
            with capture_invalidations():
                invalidate(tags=["inside"])
            invalidate(tags=["after"])
        assert [batch.tags for batch in found] == [{"before", "inside", "after"}]


def test_a_block_leaves_no_hooks_behind(database):
    with transaction.atomic():
        invalidate(tags=["before"])
        hooks = list(connection.run_on_commit)
        with capture_invalidations():
            pass
        assert connection.run_on_commit == hooks


def test_what_a_savepoint_rolls_back_is_not_captured(database):
    with capture_invalidations() as captured, transaction.atomic():
        invalidate(tags=["outer"])
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            invalidate(tags=["inner"])
            raise ZeroDivisionError
        with transaction.atomic():
            invalidate(tags=["kept"])
    assert captured.tags == {"outer", "kept"}


def test_what_a_refused_commit_rolls_back_is_not_captured(transactional_db):
    with capture_invalidations() as captured, pytest.raises(IntegrityError), transaction.atomic():
        Product.objects.create(name="orphan", category_id=12345)
    assert captured == Captured()


def test_a_write_that_is_refused_in_autocommit_is_not_captured(transactional_db):
    with capture_invalidations() as captured, pytest.raises(IntegrityError):
        Product.objects.bulk_create([Product(name="orphan", category_id=12345)])
    assert captured == Captured()


def test_what_is_committed_in_the_block_is_captured_once(transactional_db):
    with capture_invalidations() as captured, transaction.atomic():
        invalidate(tags=["a"], cause="one")
        with transaction.atomic():
            invalidate(tags=["b"], cause="two")
    assert captured.tags == {"a", "b"}
    assert captured.entities == {"manual": 2}
    assert captured.causes == {"one": 1, "two": 1}


def test_a_transaction_by_hand_that_began_before_the_block_counts_from_the_block_on(
    transactional_db,
):
    transaction.set_autocommit(False)
    try:
        invalidate(tags=["before", "both"])
        with capture_invalidations() as captured:
            invalidate(tags=["both", "inside"])
            transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert captured.tags == {"both", "inside"}
    assert captured.entities == {"manual": 1}


def test_hooks_that_are_run_in_the_block_are_captured_once(django_capture_on_commit_callbacks, db):
    with (
        capture_invalidations() as captured,
        django_capture_on_commit_callbacks(execute=True) as callbacks,
    ):
        invalidate(tags=["a"])
    assert len(callbacks) == 1
    assert captured.tags == {"a"}
    assert captured.entities == {"manual": 1}


def test_hooks_around_the_block_are_run_as_without_it(django_capture_on_commit_callbacks, db):
    with delivered() as found:
        with (
            django_capture_on_commit_callbacks(execute=True) as callbacks,
            capture_invalidations() as captured,
        ):
            invalidate(tags=["a"])
        assert [batch.tags for batch in found] == [captured.tags] == [{"a"}]
    assert len(callbacks) == 1


def test_blocks_can_be_nested(database):
    with capture_invalidations() as outer, transaction.atomic():
        invalidate(tags=["a"])
        with capture_invalidations() as inner:
            invalidate(tags=["b"])
        invalidate(tags=["c"])
    assert (outer.tags, inner.tags) == ({"a", "b", "c"}, {"b"})


class WholeTestTests(TestCase):
    """A block that lasts for a test, its fixtures made before it."""

    product: Product

    @classmethod
    def setUpTestData(cls) -> None:
        cls.product = baker.make(Product)

    def setUp(self) -> None:
        self.product.save()
        self.addCleanup(self.check)  # The block ends before this, and the transaction after it.
        self.captured = self.enterContext(capture_invalidations())

    def check(self) -> None:
        assert "testapp.tag" in self.captured.tags
        assert "testapp.product" not in self.captured.tags

    def test_the_fixtures_are_not_captured(self) -> None:
        Tag.objects.create(name="a")
