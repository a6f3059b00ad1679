"""Cached queries together with whatever else is cached, and with each other."""

import pickle
from typing import Any

import pytest
from django.db import connections
from django.db.models import Prefetch
from django.test import override_settings

from cache_invalidation import cached
from cache_invalidation.surfaces.querysets import names as naming
from tests.delivered import update_behind_the_back
from tests.querysets.asking import both, is_cached, names, reasons, statements
from tests.testapp.novels import Genre, Novel, Writer

pytestmark = both


@pytest.fixture
def novel(using: str) -> Novel:
    novel = Novel.objects.using(using).create(name="old")
    novel.genres.add(Genre.objects.using(using).create(name="crime"))
    return novel


def test_a_prefetch_of_its_own_decides_for_itself(novel: Novel, using: str) -> None:
    def ask(rows: Any, genres: Any) -> Any:
        return [
            names(row.genres.all()) for row in rows.prefetch_related(Prefetch("genres", genres))
        ]

    novels, genres = Novel.objects.using(using), Genre.objects.using(using)
    for rows, prefetched, number in (
        (novels.cached(), genres, 0),
        (novels.cached(), genres.uncached(), 1),
        (novels, genres.cached(), 1),
        (novels.uncached(), genres.cached(), 1),
        (novels.uncached(), genres, 2),
        (novels, genres, 2),
    ):
        ask(rows.all(), prefetched.all())
        with statements(using, number):
            assert ask(rows.all(), prefetched.all()) == [["crime"]]


def test_a_prefetch_is_dropped_with_the_relation(novel: Novel, using: str) -> None:
    rows = Novel.objects.using(using).cached().prefetch_related("genres", "writer")
    assert [names(row.genres.all()) for row in rows.all()] == [["crime"]]
    novel.genres.create(name="love")
    assert [names(row.genres.all()) for row in rows.all()] == [["crime", "love"]]
    Writer.objects.using(using).create(name="Ada").novels.add(novel)
    (found,) = rows.all()
    assert found.writer is not None
    assert found.writer.name == "Ada"


def test_a_hit_that_is_checked_is_not_compared_with_what_is_cached(
    novel: Novel, using: str
) -> None:
    @cached(sample=1, name="checked around a query")
    def around() -> list[str]:
        return names(Novel.objects.using(using).cached())

    assert around() == around() == ["old"]
    update_behind_the_back(Novel.objects.using(using), name="new")
    assert around() == ["new"]


def test_a_view_under_the_name_of_a_table(novel: Novel, using: str) -> None:
    table = Genre._meta.db_table
    with connections[using].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO genres_of_before")
        cursor.execute(f"CREATE VIEW {table} AS SELECT id, name FROM genres_of_before")
    try:
        assert not is_cached(using, lambda: names(Genre.objects.using(using).cached()))
        assert reasons(naming.name_of(Genre)) == {"dependencies": 2}
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute(f"DROP VIEW {table}")
            cursor.execute(f"ALTER TABLE genres_of_before RENAME TO {table}")


def test_what_is_cached_for_ever_is_dropped_all_the_same(novel: Novel, using: str) -> None:
    with override_settings(CACHE_INVALIDATION={"DEFAULT_TIMEOUT": None}):
        for rows in (
            Novel.objects.using(using).cached(timeout=None),
            Novel.objects.using(using).cached().filter(pages=0),
        ):
            (before,) = names(rows.all())
            Novel.objects.using(using).update(name=f"{before}, new")
            assert names(rows.all()) == [f"{before}, new"]


def test_a_queryset_that_is_pickled_says_it_still(novel: Novel, using: str) -> None:
    rows = Novel.objects.using(using).cached(60)
    again = Novel.objects.using(using)
    again.query = pickle.loads(pickle.dumps(rows.query))
    assert is_cached(using, lambda: names(again.all()))
