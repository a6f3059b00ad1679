"""Every way of reading a queryset: a hit returns what the database would, without asking it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.db.models import Avg, Count, OuterRef, Prefetch, Q, Subquery, Sum, Window
from django.db.models.functions import Lower, RowNumber, TruncMonth
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from cache_invalidation.querysets import CachedQuerySet, uncached_queries
from tests.querysets.asking import both, statements
from tests.testapp.novels import Genre, Novel, Sequel, Writer

pytestmark = both


@pytest.fixture
def shelf(using: str) -> Novel:
    """Two novels and a sequel, of which the first has everything."""
    writer = Writer.objects.using(using).create(name="Ada")
    crime, love = (Genre.objects.using(using).create(name=name) for name in ("crime", "love"))
    writer.genres.add(crime)
    first = Novel.objects.using(using).create(
        name="First",
        writer=writer,
        price=Decimal("12.50"),
        pages=300,
        published=datetime(2020, 5, 6, 7, 8, 9, 10, tzinfo=UTC),
        facts={"a": [1, {"b": None}]},
    )
    first.genres.add(crime, love)
    Novel.objects.using(using).create(name="Second", price=5, sold_out=True)
    Sequel.objects.using(using).create(name="Third", writer=writer, pages=200)
    return first


def whole(rows: Any) -> list[dict[str, Any]]:
    """Return everything that instances carry."""
    found = []
    for row in rows:
        attributes = dict(vars(row))
        state = attributes.pop("_state")
        related = {
            name: whole([value]) if value else None for name, value in state.fields_cache.items()
        }
        prefetched = {
            name: whole(value)
            for name, value in attributes.pop("_prefetched_objects_cache", {}).items()
        }
        listed = {n: whole(v) for n, v in attributes.items() if n == "listed"}
        found.append({**attributes, **related, **prefetched, **listed, "db": state.db})
    return found


READS: dict[str, Callable[[Any], Any]] = {
    "iteration": whole,
    "filter": lambda q: whole(q.filter(pages__gt=100).exclude(name="x").order_by("-pages")),
    "count": lambda q: q.count(),
    "count of a part": lambda q: q.order_by("pk")[1:].count(),
    "exists": lambda q: (q.exists(), q.filter(name="none").exists()),
    "aggregate": lambda q: q.aggregate(Sum("price"), Avg("pages"), n=Count("genres")),
    "aggregate of a part": lambda q: q.order_by("pk")[:2].aggregate(Sum("price")),
    "values": lambda q: list(q.order_by("pk").values()),
    "values of relations": lambda q: list(q.order_by("pk").values("writer__name", "price")),
    "values_list": lambda q: list(q.order_by("pk").values_list("isbn", "cover", "takes")),
    "flat": lambda q: list(q.order_by("pk").values_list("published", flat=True)),
    "named": lambda q: [row._asdict() for row in q.order_by("pk").values_list(named=True)],
    "get": lambda q: whole([q.get(name="First")]),
    "first and last": lambda q: whole([q.first(), q.last(), q.earliest("pk"), q.latest("pk")]),
    "index": lambda q: whole([q.order_by("pk")[1]]),
    "none found": lambda q: (q.filter(name="none").first(), list(q.filter(name="none"))),
    "in_bulk": lambda q: {key: whole([row]) for key, row in q.in_bulk().items()},
    "contains": lambda q: q.contains(Novel(pk=q.order_by("pk").first().pk)),
    "dates": lambda q: list(q.dates("printed", "month")),
    "datetimes": lambda q: list(q.datetimes("published", "day")),
    "select_related": lambda q: whole(q.select_related("writer").order_by("pk")),
    "prefetch_related": lambda q: whole(q.prefetch_related("genres", "writer__genres")),
    "Prefetch": lambda q: whole(
        q.prefetch_related(
            Prefetch("genres", Genre.objects.filter(name="love").cached(60), to_attr="listed")
        )
    ),
    "sliced prefetch": lambda q: whole(
        q.prefetch_related(Prefetch("genres", Genre.objects.order_by("name")[:1], to_attr="listed"))
    ),
    "annotations": lambda q: whole(q.annotate(n=Count("genres"), low=Lower("name"))),
    "alias": lambda q: whole(q.alias(n=Count("genres")).filter(n__gt=0)),
    "group": lambda q: list(q.values("writer").annotate(Sum("pages")).order_by("writer")),
    "months": lambda q: list(q.annotate(m=TruncMonth("published")).values_list("m", flat=True)),
    "window": lambda q: list(
        q.annotate(n=Window(RowNumber(), order_by="pk")).values_list("name", "n")
    ),
    "subquery": lambda q: list(
        q.annotate(
            w=Subquery(Writer.objects.filter(pk=OuterRef("writer")).values("name")[:1])
        ).values_list("w", flat=True)
    ),
    "only": lambda q: [(row.name, row.get_deferred_fields()) for row in q.only("name")],
    "defer": lambda q: [(row.pages, row.get_deferred_fields()) for row in q.defer("facts")],
    "union": lambda q: sorted(
        q.filter(pages__gt=250).union(q.filter(price=5)).values_list("name", flat=True)
    ),
    "or": lambda q: whole((q.filter(pages=300) | q.filter(price=5)).order_by("pk")),
    "distinct": lambda q: list(q.filter(genres__isnull=False).distinct().values_list("pk")),
    "conditions": lambda q: q.filter(
        Q(isbn__isnull=False), facts__a__0=1, printed__year=2001, cover=b"\x00\xff"
    ).count(),
    "extra": lambda q: [(n.name, n.more) for n in q.extra(select={"more": "pages + 1"})],
}


@pytest.mark.parametrize("cache", ["default", "zlib", "redis_django", "locmem", "dbcache"])
def test_a_hit_is_what_the_database_returns(shelf: Novel, using: str, cache: str) -> None:
    problems = []
    with override_settings(CACHE_INVALIDATION={"CACHE": cache}):
        for name, read in READS.items():
            expected = read(Novel.objects.using(using))
            with uncached_queries():
                read(Novel.objects.using(using).cached(timeout=60))
            cached = Novel.objects.using(using).cached(timeout=60)
            first = read(cached.all())
            with CaptureQueriesContext(connections[using]) as captured:
                second = read(cached.all())
            # The database cache is one of them.
            asked = [q["sql"] for q in captured.captured_queries if "cache_table" not in q["sql"]]
            if asked:
                problems.append(f"{name}: {asked}")
            if not first == second == expected:
                problems.append(f"{name}: {expected} {first} {second}")
            if repr(second) != repr(expected):
                problems.append(f"{name}: {expected!r}, but {second!r}")
    assert not problems, "\n".join(problems)


def test_a_row_in_the_tables_of_two_models_is_dropped_with_either(shelf: Novel, using: str) -> None:
    rows: CachedQuerySet[Sequel] = CachedQuerySet(Sequel, using=using).cached()
    sequels = rows.values_list("name", "number")
    assert list(sequels.all()) == [("Third", 2)]
    Novel.objects.using(using).filter(name="Third").update(name="Late")
    assert list(sequels.all()) == [("Late", 2)]
    rows.update(number=3)
    assert list(sequels.all()) == [("Late", 3)]


def test_twins_for_coroutines(shelf: Novel, using: str) -> None:
    async def ask() -> Any:
        rows = Novel.objects.using(using).cached()
        genres = Genre.objects.using(using)
        return [
            [row.name async for row in rows.order_by("pk")],
            [row async for row in rows.order_by("pk").values_list("price", flat=True)],
            (await rows.aget(name="First")).price,
            await rows.acount(),
            await rows.aexists(),
            await rows.aaggregate(Sum("pages")),
            await rows.afirst() == await rows.alast(),
            sorted(await rows.ain_bulk()),
            await rows.acontains(shelf),
            [
                len(row.genres.all())
                async for row in rows.order_by("pk").prefetch_related(Prefetch("genres", genres))
            ],
        ]

    first = async_to_sync(ask)()
    with statements(using, 0):
        second = async_to_sync(ask)()
    assert first == second
    with uncached_queries():
        assert async_to_sync(ask)() == first


def test_a_coroutine_may_not_do_with_a_hit_what_it_may_not_do_with_a_query(
    shelf: Novel, using: str
) -> None:
    rows = Novel.objects.using(using).cached()
    list(rows.all())

    async def ask() -> Any:
        return list(rows.all())

    with pytest.raises(SynchronousOnlyOperation):
        async_to_sync(ask)()


def test_queries_of_one_text_whose_rows_are_not_equally_wide(shelf: Novel, using: str) -> None:
    """Of the first one, the last column is there only for the order."""
    novels = Novel.objects.using(using).distinct().order_by("price")
    kinds = [novels.only("name"), novels.only("name", "price")]
    assert len({str(kind.query) for kind in kinds}) == 1
    for _ in range(2):
        for kind in (*kinds, *reversed(kinds)):
            assert whole(kind.cached()) == whole(kind.uncached())


def test_rows_are_no_older_than_the_queryset_says(shelf: Novel, using: str) -> None:
    novels = Novel.objects.using(using)
    for rows in (novels.cached(timeout=None), novels.cached(timeout=3600), novels.cached()):
        list(rows.all())
    with statements(using, 1):
        list(novels.cached(timeout=1))


def test_nobody_shares_an_instance_or_what_is_in_it(shelf: Novel, using: str) -> None:
    rows = Novel.objects.using(using).cached()
    for _ in range(3):
        found = rows.get(name="First")
        assert found.facts == {"a": [1, {"b": None}]}
        assert found.name == "First"
        found.name = "mine"
        found.facts["a"].append("mine")


def test_what_derives_from_a_queryset_says_what_it_says(shelf: Novel, using: str) -> None:
    rows = Novel.objects.using(using)
    for derived in (
        rows.cached().filter(pages__gt=1),
        rows.cheap().cached(),
        rows.cached().cheap(),
        rows.cached().order_by("pk")[:2],
        rows.uncached().cached(60),
    ):
        list(derived.all())
        with statements(using, 0):
            list(derived.all())
    for derived in (rows, rows.cached().uncached(), rows.uncached()):
        list(derived.all())
        with statements(using, 1):
            list(derived.all())


def test_related_managers_have_it_too(shelf: Novel, using: str) -> None:
    writer = Writer.objects.using(using).get()
    assert writer.novels.cached().count() == 2
    with statements(using, 0):
        assert writer.novels.cached().count() == 2
    writer.novels.create(name="Fourth")
    assert writer.novels.cached().count() == 3


def test_only_the_query_that_says_so_is_cached_and_none_around_it(shelf: Novel, using: str) -> None:
    inner = Writer.objects.using(using).cached().filter(name="Ada")
    outer = Novel.objects.using(using).filter(writer__in=inner)
    assert outer.count() == 2
    with statements(using, 1):
        assert outer.count() == 2


def test_the_first_of_several_that_are_combined_decides(shelf: Novel, using: str) -> None:
    cached, plain = Novel.objects.using(using).cached(), Novel.objects.using(using)
    for combined, number in ((cached.union(plain), 0), (plain.union(cached), 1)):
        list(combined.all())
        with statements(using, number):
            list(combined.all())


@pytest.mark.parametrize("timeout", [0, -1, True, "60", float("nan")])
def test_a_timeout_that_cannot_be_used_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"timeout=.*None for ever"):
        Novel.objects.cached(timeout=timeout)
