"""What goes to the database all the same, for a queryset that says `cached` and by ``QUERIES``."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connections, models, transaction
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import F, Func, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Now, Random
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from psycopg.types.range import Range

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.querysets import uncached_queries
from cache_invalidation.surfaces.querysets import rows
from tests.consistency.test_snapshot_readers import snapshot
from tests.outages import Use, down, up, use  # noqa: F401 - fixtures
from tests.querysets.asking import both, is_cached, reasons
from tests.testapp.novels import Novel, Writer

pytestmark = both

NAME = "testapp.novel.queries"

Query = Callable[[], Any]


@pytest.fixture(params=["cached()", "QUERIES"])
def novels(request: pytest.FixtureRequest, using: str) -> Iterator[Query]:
    """Novels whose queries are cached, in one way and in the other."""
    Novel.objects.using(using).create(name="First")
    if request.param == "cached()":
        yield lambda: Novel.objects.using(using).cached()
    else:
        with override_settings(CACHE_INVALIDATION={"QUERIES": {"testapp.*": 60, "auth.*": None}}):
            yield lambda: models.QuerySet(Novel, using=using)


def test_others_are_cached(novels: Query, using: str) -> None:
    """Otherwise what follows would prove nothing."""
    assert is_cached(using, lambda: list(novels()))
    assert reasons(NAME) == {}


CHANGING: dict[str, Callable[[Any], Any]] = {
    "random order": lambda q: q.order_by("?"),
    "Now": lambda q: q.filter(published__lte=Now()),
    "Random": lambda q: q.annotate(r=Random()),
    "CURRENT_TIMESTAMP": lambda q: q.annotate(r=RawSQL("CURRENT_TIMESTAMP", [])),
    "function that is not known": lambda q: q.annotate(
        r=Func(Value(1), Value(1), function="NULLIF")
    ).annotate(s=Func(F("name"), function="QUOTE" if q.db == "sqlite" else "QUOTE_LITERAL")),
    "extra": lambda q: q.extra(select={"r": "RANDOM()"}),
    "moment in a parameter": lambda q: q.filter(name="today"),
    "moment in a literal": lambda q: q.annotate(r=RawSQL("'now'", [])),
    "in an inner query": lambda q: q.filter(
        writer__in=Writer.objects.using(q.db).filter(born__lte=Now())
    ),
}


@pytest.mark.parametrize("kind", CHANGING)
def test_what_changes_by_itself(novels: Query, using: str, kind: str) -> None:
    assert not is_cached(using, lambda: list(CHANGING[kind](novels())))
    assert reasons(NAME) == {"changing": 2}


def test_a_cast_of_a_moment(novels: Query) -> None:
    def dates() -> Any:
        moment = Cast(Value("tomorrow"), models.DateField())
        return list(novels().using("default").annotate(d=moment).values_list("d"))

    Novel.objects.using("default").create(name="here")
    assert not is_cached("default", dates)


def test_a_function_of_ones_own_that_has_its_name_from_another_database(novels: Query) -> None:
    """SQLite has a TOTAL; this one reads a table that the query does not name."""
    table, using = Writer._meta.db_table, "default"
    Novel.objects.using(using).create(name="here")

    def ask() -> Any:
        rows = novels().using(using).annotate(n=Func(F("pk"), function="TOTAL"))
        return rows.values_list("n", flat=True).last()

    with connections[using].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION total(bigint) RETURNS bigint STABLE LANGUAGE sql "
            f"AS 'SELECT count(*) FROM {table}'"
        )
        try:
            assert ask() == ask() == 0
            Writer.objects.using(using).create(name="Ada")
            assert ask() == 1
        finally:
            cursor.execute("DROP FUNCTION total(bigint)")


@pytest.mark.parametrize("moment", [["2020-01-01", "now"], Range("now", None), "now" + " " * 99])
def test_a_moment_within_a_parameter(novels: Query, moment: Any) -> None:
    """What it is cast to does not matter: it goes to the database."""

    def ask() -> Any:
        return list(novels().using("default").annotate(r=RawSQL("%s::text", [moment])))

    assert not is_cached("default", ask)
    assert reasons(NAME) == {"changing": 2}


def test_rows_that_are_locked(novels: Query, using: str) -> None:
    if connections[using].features.has_select_for_update:
        with transaction.atomic(using=using):
            assert not is_cached(using, lambda: list(novels().select_for_update()))
    assert reasons(NAME) == {}


def test_iterators(novels: Query, using: str) -> None:
    assert not is_cached(using, lambda: list(novels().iterator()))
    without = {"DISABLE_SERVER_SIDE_CURSORS": True}
    with patch.dict(connections[using].settings_dict, without):
        # The first is what a queryset fetches at once when it is evaluated.
        assert not is_cached(using, lambda: list(novels().iterator(chunk_size=100)))
        assert not is_cached(using, lambda: list(novels().iterator(chunk_size=2000)))

        async def iterate() -> Any:
            return [row async for row in novels().aiterator(chunk_size=100)]

        assert not is_cached(using, async_to_sync(iterate))
    assert reasons(NAME) == {}


def test_raw_queries_and_explain(novels: Query, using: str) -> None:
    table = Novel._meta.db_table
    assert not is_cached(using, lambda: list(novels().raw(f"SELECT * FROM {table}")))
    assert not is_cached(using, novels().explain)
    assert reasons(NAME) == {}


def test_transactions_that_have_written(novels: Query, using: str) -> None:
    assert is_cached(using, novels().count)
    with transaction.atomic(using=using):
        Novel.objects.using(using).create(name="mine")
        assert not is_cached(using, novels().count)
        assert novels().count() == 2
        transaction.set_rollback(True, using=using)
    assert novels().count() == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "SQLite"])
def test_transactions_that_see_a_snapshot(novels: Query, level: str) -> None:
    alias = "sqlite" if level == "SQLite" else "default"

    def count() -> int:
        return int(novels().using(alias).count())

    assert is_cached(alias, count)
    with snapshot(level):
        assert not is_cached(alias, count)
    assert is_cached(alias, count)


def test_a_level_that_is_set_after_the_first_transaction(novels: Query) -> None:
    def count() -> int:
        return int(novels().using("default").count())

    for level, expected in (("READ COMMITTED", True), ("REPEATABLE READ", False)) * 2:
        with transaction.atomic():
            with connections["default"].cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            assert is_cached("default", count) is expected


def test_a_level_that_is_set_where_the_project_ends_transactions(novels: Query) -> None:
    def count() -> int:
        return int(novels().using("default").count())

    connection = connections["default"]
    connection.set_autocommit(False)
    try:
        for level, expected in (("READ COMMITTED", True), ("REPEATABLE READ", False)) * 2:
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            with transaction.atomic():
                assert is_cached("default", count) is expected
            connection.commit()
    finally:
        connection.rollback()
        connection.set_autocommit(True)


def test_a_transaction_that_is_broken_stays_so(novels: Query, using: str) -> None:
    list(novels())
    with transaction.atomic(using=using):
        transaction.set_rollback(True, using=using)
        with pytest.raises(TransactionManagementError):
            list(novels())


def test_a_model_that_nobody_watches(using: str, novels: Query) -> None:
    with override_settings(
        CACHE_INVALIDATION={"EXCLUDE": ["testapp.Novel"], "QUERIES": {"testapp.*": 60}}
    ):
        assert not is_cached(using, lambda: list(novels()))
        assert reasons(NAME) == {"unwatched": 2}
        joined = Writer.objects.using(using).cached().filter(novels__pages=0)
        assert not is_cached(using, lambda: list(joined.all()))
    assert reasons("testapp.writer.queries") == {"unwatched": 2}


def test_a_table_that_is_no_models(using: str) -> None:
    rows = Novel.objects.using(using).cached().extra(tables=["django_migrations"])
    assert not is_cached(using, lambda: list(rows.all()))
    assert reasons(NAME) == {"unknown": 2}


@pytest.mark.parametrize("limit", ["MOST", "LONGEST"])
def test_more_than_is_worth_it(
    novels: Query, using: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Novel.objects.using(using).create(name="Second")
    monkeypatch.setattr(rows, limit, 1)
    assert not is_cached(using, lambda: list(novels()))
    assert reasons(NAME) == {"size": 2}


def test_a_query_that_another_cache_answers(novels: Query, using: str) -> None:
    """Nobody has seen on what it depends."""
    wrappers = connections[using].execute_wrappers
    novels().count()
    with patch.object(connections[using], "execute_wrappers", []):
        list(novels())
    assert wrappers
    Novel.objects.using(using).create(name="Second")
    assert len(novels()) == 2
    assert reasons(NAME) == {"dependencies": 1}


class Odd(int):
    """A parameter that carries more than its value does."""

    more = 1

    def __init__(self, value: int) -> None:
        self.own = value


def test_a_parameter_that_has_no_spelling(novels: Query) -> None:
    def ask() -> Any:
        return list(novels().using("sqlite").extra(where=["pages = %s"], params=[Odd(0)]))

    assert not is_cached("sqlite", ask)
    assert reasons(NAME) == {"parameter": 2}


def test_a_block_that_says_so(novels: Query, using: str) -> None:
    assert is_cached(using, lambda: list(novels()))
    with uncached_queries():
        assert not is_cached(using, lambda: list(novels()))

    @uncached_queries()
    def decorated() -> Any:
        return list(novels())

    assert not is_cached(using, decorated)
    assert is_cached(using, lambda: list(novels()))


def test_a_queryset_that_says_so(novels: Query, using: str) -> None:
    rows = Novel.objects.using(using).uncached()
    assert not is_cached(using, lambda: list(rows.filter(pages=0)))
    assert not is_cached(using, lambda: list(rows.prefetch_related("genres")))


def test_models_of_the_past_and_migrations(novels: Query, using: str) -> None:
    seen = []

    def look(apps: Any, schema_editor: Any) -> None:
        past = apps.get_model("testapp", "Novel").objects.using(using)
        seen.append(is_cached(using, past.count))
        seen.append(is_cached(using, novels().count))

    assert is_cached(using, novels().count)
    state = ProjectState()
    state.add_model(ModelState.from_model(Novel, exclude_rels=True))
    past = state.apps.get_model("testapp", "Novel")
    with override_settings(CACHE_INVALIDATION={"QUERIES": {"*": 60}}):
        assert not is_cached(using, past._default_manager.using(using).count)
    executor = MigrationExecutor(connections[using])
    migration = type("Looks", (Migration,), {"operations": [RunPython(look)]})("looks", "testapp")
    executor.loader.graph.add_node(("testapp", "looks"), migration)
    executor.migrate([("testapp", "looks")], plan=[(migration, False)], state=state)
    executor.recorder.record_unapplied("testapp", "looks")
    assert seen == [False, False]
    assert is_cached(using, novels().count)


def test_nothing_breaks_when_the_cache_is_down(novels: Query, using: str, down: Use) -> None:  # noqa: F811
    assert len(list(novels())) == novels().count() == 1
    Novel.objects.using(using).update(pages=5)
    assert novels().get().pages == 5


def test_what_is_asked_for_a_write(novels: Query, using: str) -> None:
    class ByPages(ModelInvalidation):
        tags = ["pages:{pages}"]

    list(novels())
    with registry.override(Novel, ByPages):
        novel = novels().get()
        novel.pages = 7
        novel.save()
        assert novels().filter(pages=7).update(pages=F("pages") + 1) == 1
        assert novels().get().pages == 8
        novels().filter(pages=8).delete()
    assert not novels().exists()


def test_a_query_that_fails_fails(novels: Query, using: str) -> None:
    rows = novels().extra(where=["nothing = 1"])
    with pytest.raises(DatabaseError, match="nothing"):
        list(rows)
    assert reasons(NAME) == {"exception": 1}
