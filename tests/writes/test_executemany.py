"""`executemany` in autocommit that fails half-way: some drivers have committed the first half."""

import pytest
from django.core.cache import cache
from django.db import IntegrityError, connections

from cache_invalidation import ModelInvalidation, cached
from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import is_fence
from tests.delivery.outbox.rows import rows
from tests.outages import NOBODY, Use, use
from tests.ruled import in_force
from tests.testapp.models import Category

__all__ = ["use"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


class Rule(ModelInvalidation):
    keys = ["detail:{pk}"]


@cached(tags=["testapp.category:{pk}"], name="executemany.name")
def name_of(pk: int, using: str) -> str:
    return Category.objects.using(using).get(pk=pk).name


rule = in_force({Category: Rule})


@pytest.fixture
def pks(using: str) -> list[int]:
    """Two categories that are cached, the first of them under a plain key as well."""
    pks = [Category.objects.using(using).create(name="old").pk for _ in range(2)]
    cache.set(f"detail:{pks[0]}", "old")
    assert [name_of(pk, using) for pk in pks] == ["old", "old"]
    return pks


def rename_the_first(pks: list[int], using: str) -> None:
    """Rename both, of which the second fails."""
    with pytest.raises(IntegrityError), connections[using].cursor() as cursor:
        sql = "UPDATE testapp_category SET name = %s WHERE id = %s"
        cursor.executemany(sql, [("new", pks[0]), (None, pks[1])])
    if using == "sqlite":
        assert Category.objects.using(using).get(pk=pks[0]).name == "new"


def test_all_of_it_is_delivered(using: str, pks: list[int]) -> None:
    rename_the_first(pks, using)
    assert cache.get(f"detail:{pks[0]}") is None
    assert name_of(pks[0], using) == Category.objects.using(using).get(pk=pks[0]).name
    assert not is_fence(*get_store().versions([f"testapp.category:{pks[0]}"]).values())


def test_its_row_of_the_outbox_stays(using: str, use: Use, redis_url: str, pks: list[int]) -> None:
    use(NOBODY)
    rename_the_first(pks, using)
    assert rows(using)
    use(redis_url)
    drain_all()
    assert name_of(pks[0], using) == Category.objects.using(using).get(pk=pks[0]).name
