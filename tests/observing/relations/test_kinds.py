"""What stands under the name of a table and is none, or is more than its own rows."""

import threading

import pytest
from django.db import DatabaseError, connection, connections, transaction

from cache_invalidation import cached
from cache_invalidation.exceptions import CacheDependencyWarning
from cache_invalidation.explain import explain_sql
from tests.cursors import execute
from tests.delivered import update_behind_the_back
from tests.observing.relations.conftest import (
    assert_not_stored,
    model_of,
    raw_reader,
    reader,
    refuse,
)
from tests.testapp.models import Category, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

NAMES = "SELECT id, name FROM testapp_category"


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("managed", [False, True])
def test_a_view_is_none_whether_django_manages_its_model_or_not(define, using, managed):
    define(using, f"CREATE VIEW shown AS {NAMES}", "DROP VIEW shown")
    shown = model_of("shown")
    shown._meta.managed = managed
    Category.objects.using(using).create(name="old")
    names = reader(shown, using)
    assert_not_stored(names, "the view shown")
    Category.objects.using(using).update(name="new")
    with pytest.warns(CacheDependencyWarning):
        assert names() == ["new"]


def test_a_view_in_another_schema_is_none(define):
    define("default", "CREATE SCHEMA reporting", "DROP SCHEMA reporting CASCADE")
    define("default", f"CREATE VIEW reporting.monthly AS {NAMES}")
    assert_not_stored(reader(model_of('reporting"."monthly')), "the view")
    assert_not_stored(raw_reader("SELECT name FROM reporting.monthly"), "the view")
    assert_not_stored(raw_reader('SELECT name FROM "reporting"."monthly"'), "the view")


def test_a_schema_that_is_named_says_which_relation_is_meant(define):
    define("default", "CREATE SCHEMA reporting", "DROP SCHEMA reporting CASCADE")
    define("default", f"CREATE VIEW reporting.testapp_category AS {NAMES}")
    Category.objects.create(name="old")
    for sql in (
        "SELECT name FROM testapp_category",
        "SELECT name FROM public.testapp_category",
        'SELECT name FROM "public"."testapp_category"',
    ):
        names = raw_reader(sql)
        assert names() == ["old"]
        with connection.execute_wrapper(refuse):
            assert names() == ["old"]
    assert_not_stored(raw_reader("SELECT name FROM reporting.testapp_category"), "the view")


def test_the_search_path_of_the_session_says_which_relation_is_meant(define):
    define("default", "CREATE SCHEMA reporting", "DROP SCHEMA reporting CASCADE")
    define("default", f"CREATE VIEW reporting.testapp_category AS {NAMES}")
    Category.objects.create(name="old")
    names = reader(Category)
    assert names() == ["old"]
    # As packages for tenants do it, with the driver.
    connection.connection.execute("SET search_path = reporting, public")
    try:
        with connection.execute_wrapper(refuse):
            assert names() == ["old"]
        names.invalidate()
        assert_not_stored(names, "the view testapp_category")
    finally:
        connection.connection.execute("SET search_path = public")
    assert names() == ["old"]
    with connection.execute_wrapper(refuse):
        assert names() == ["old"]


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_view_that_is_created_later_is_none_from_then_on(define, using):
    define(using, "CREATE TABLE shown (id integer PRIMARY KEY, name text)", "DROP VIEW shown")
    names = reader(model_of("shown"), using)
    assert names() == []
    with transaction.atomic(using=using):
        execute(using, "ALTER TABLE shown RENAME TO was_shown")
        execute(using, f"CREATE VIEW shown AS {NAMES}")
    define(using, "SELECT 1", "DROP TABLE was_shown")
    assert_not_stored(names, "the view shown")


def test_a_view_that_another_process_creates_is_none_from_then_on(define):
    define("default", "CREATE TABLE shown (id integer PRIMARY KEY, name text)", "DROP VIEW shown")
    names = reader(model_of("shown"))
    assert names() == []

    def migrate():
        try:
            execute("default", "DROP TABLE shown")
            execute("default", f"CREATE VIEW shown AS {NAMES}")
        finally:
            connection.close()

    thread = threading.Thread(target=migrate)  # With a connection of its own, as a process has.
    thread.start()
    thread.join()
    assert_not_stored(names, "the view shown")


def test_a_view_that_becomes_a_table_is_stored_from_then_on(define):
    define("default", f"CREATE VIEW shown AS {NAMES}")
    names = reader(model_of("shown"))
    assert_not_stored(names, "the view shown")
    execute("default", "DROP VIEW shown")
    define("default", "CREATE TABLE shown (id integer PRIMARY KEY, name text)", "DROP TABLE shown")
    assert names() == []
    with connection.execute_wrapper(refuse):
        assert names() == []


def test_it_is_said_that_nobody_tells_when_a_view_changes(define):
    define("default", f"CREATE VIEW shown AS {NAMES}", "DROP VIEW shown")
    model_of("shown")
    (note,) = explain_sql("SELECT name FROM shown").notes[1:]
    assert note == "It reads the view shown: nobody tells when that changes."


@pytest.mark.parametrize(
    ("create", "drop", "what"),
    [
        (f"CREATE MATERIALIZED VIEW shown AS {NAMES}", "DROP MATERIALIZED VIEW shown", "material"),
        ("CREATE TEMPORARY TABLE shown (id integer, name text)", "DROP TABLE shown", "temporary"),
        (f"CREATE TEMPORARY VIEW shown AS {NAMES}", "DROP VIEW shown", "temporary"),
    ],
)
def test_what_changes_without_being_written_is_none(define, create, drop, what):
    define("default", create, drop)
    assert_not_stored(reader(model_of("shown")), what)


def test_a_foreign_table_is_none(define):
    define("default", "CREATE FOREIGN DATA WRAPPER w", "DROP FOREIGN DATA WRAPPER w CASCADE")
    define("default", "CREATE SERVER s FOREIGN DATA WRAPPER w")
    define("default", "CREATE FOREIGN TABLE shown (id integer, name text) SERVER s")
    define("default", "CREATE TABLE parted (id integer, name text) PARTITION BY LIST (id)")
    define("default", "SELECT 1", "DROP TABLE parted")
    define("default", "CREATE FOREIGN TABLE far PARTITION OF parted FOR VALUES IN (1) SERVER s")
    for model in (model_of("shown"), model_of("parted", "Parted")):

        @cached(name=f"names of {model.__name__}, if any")
        def names(model=model):
            try:
                with transaction.atomic():
                    return list(model.objects.all())
            except DatabaseError:
                return None  # The wrapper of the test leads nowhere.

        assert_not_stored(names, "foreign")


def test_a_temporary_table_in_front_of_a_table_is_none_for_its_session(define):
    Category.objects.create(name="shared")
    names = reader(Category)
    assert names() == ["shared"]
    define(
        "default",
        "CREATE TEMPORARY TABLE testapp_category (id integer, name text, parent_id integer)",
        "DROP TABLE pg_temp.testapp_category",
    )
    assert_not_stored(names, "the temporary table testapp_category")


@pytest.mark.parametrize(
    ("create", "drop", "what"),
    [
        ("CREATE TEMPORARY TABLE shown (id integer, name text)", "DROP TABLE shown", "temporary"),
        (f"CREATE TEMPORARY VIEW shown AS {NAMES}", "DROP VIEW shown", "view"),
        ("CREATE VIRTUAL TABLE shown USING fts5(id, name)", "DROP TABLE shown", "virtual"),
    ],
)
def test_what_changes_without_being_written_in_sqlite_is_none(define, create, drop, what):
    define("sqlite", create, drop)
    assert_not_stored(reader(model_of("shown"), "sqlite"), what)


def test_a_table_of_an_attached_database_is_one(define, tmp_path):
    define("sqlite", f"ATTACH '{tmp_path / 'more'}' AS more", "DETACH more")
    define("sqlite", "CREATE TABLE more.shown (id integer PRIMARY KEY, name text)")
    names = reader(model_of('more"."shown'), "sqlite")
    assert names() == []
    execute("sqlite", "INSERT INTO more.shown (id, name) VALUES (1, 'a')")
    assert names() == ["a"]
    with connections["sqlite"].execute_wrapper(refuse):
        assert names() == ["a"]


def test_what_is_not_there_is_asked_for_again(define):
    names = reader(model_of("shown"))

    @cached(name="names, if any")
    def names_if_any():
        with transaction.atomic(savepoint=True):
            try:
                with transaction.atomic():
                    return names.uncached()
            except Exception:
                return None

    with pytest.warns(CacheDependencyWarning, match="missing relation"):
        assert names_if_any() is None
    # By another program, of which nobody is told.
    connection.connection.execute("CREATE TABLE shown (id integer PRIMARY KEY, name text)")
    define("default", "SELECT 1", "DROP TABLE shown")
    assert names_if_any() == []


PARENT = "CREATE TABLE event (id integer, name text) PARTITION BY RANGE (id)"
PART = "CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (100)"
LEAVES = (
    "CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id)",
    "CREATE TABLE event_2 PARTITION OF event_1 FOR VALUES FROM (0) TO (50)",
)


@pytest.fixture
def relatives(request, define):
    """Models of two relations of which the second one leads to rows of the first one."""
    name = "event_1"
    if "partition" in request.param:
        define("default", PARENT, "DROP TABLE event")
        for sql in LEAVES if "of" in request.param else [PART]:
            define("default", sql)
        name = "event_2" if "of" in request.param else name
    else:
        define("default", "CREATE TABLE event (id integer, name text)", "DROP TABLE event CASCADE")
    if request.param == "inherited":
        define("default", "CREATE TABLE event_1 () INHERITS (event)")
    if request.param == "view":
        define("default", "CREATE VIEW event_0 AS SELECT * FROM event WHERE id < 100")
        define("default", "CREATE VIEW event_1 AS SELECT * FROM event_0")
    if request.param == "rule":
        define("default", "CREATE TABLE event_1 (id integer, name text)", "DROP TABLE event_1")
        define(
            "default",
            "CREATE RULE too AS ON INSERT TO event_1 DO ALSO INSERT INTO event VALUES (NEW.*)",
        )
        define(
            "default",
            "CREATE RULE as_well AS ON UPDATE TO event_1 DO ALSO"
            " UPDATE event SET name = NEW.name WHERE id = NEW.id",
        )
    return model_of("event", "AnEvent"), model_of(name, "EventOf1")


PARTITIONS = ["partition", "partition of a partition"]


@pytest.mark.parametrize("relatives", [*PARTITIONS, "inherited", "view", "rule"], indirect=True)
@pytest.mark.parametrize("by_key", [True, False])
def test_who_reads_a_table_depends_on_what_is_written_under_another_name(relatives, by_key):
    event, other = relatives

    @cached(name="name of an event")
    def names():
        found = event.objects.filter(pk=1) if by_key else event.objects.all()
        return list(found.values_list("name", flat=True))

    assert names() == []
    other.objects.create(id=1, name="created")
    assert names() == ["created"]
    other.objects.filter(id=1).update(name="updated")
    assert names() == ["updated"]
    table = other._meta.db_table
    execute("default", f"UPDATE {table} SET name = 'raw' WHERE id = 1")
    assert names() == ["raw"]


@pytest.mark.parametrize("relatives", [*PARTITIONS, "inherited"], indirect=True)
@pytest.mark.parametrize("by_key", [True, False])
def test_who_reads_a_part_depends_on_what_is_written_to_the_whole(relatives, by_key):
    event, other = relatives
    other.objects.create(id=1, name="old")

    @cached(name="name in a part")
    def names():
        found = other.objects.filter(pk=1) if by_key else other.objects.all()
        return list(found.values_list("name", flat=True))

    assert names() == ["old"]
    event.objects.filter(id=1).update(name="new")
    assert names() == ["new"]
    event.objects.all().delete()
    assert names() == []


def test_a_partition_that_is_attached_later_counts_from_then_on(define):
    define("default", PARENT, "DROP TABLE event")
    define("default", "CREATE TABLE event_1 (id integer, name text)")
    event, part = model_of("event", "AnEvent"), model_of("event_1", "EventOf1")
    part.objects.create(id=1, name="old")
    names = reader(event)
    assert names() == []
    execute("default", "ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM (0) TO (100)")
    assert names() == ["old"]
    part.objects.update(name="new")
    assert names() == ["new"]
    execute("default", "ALTER TABLE event DETACH PARTITION event_1")
    define("default", "SELECT 1", "DROP TABLE event_1")
    assert names() == []


def test_a_name_that_moves_between_schemas_is_another_relation(define):
    define("default", "CREATE SCHEMA was", "DROP SCHEMA IF EXISTS was CASCADE")
    define("default", "CREATE TABLE was.shown (id integer PRIMARY KEY, name text)")
    define("default", "INSERT INTO was.shown VALUES (1, 'a')")
    names = reader(model_of('now"."shown'))
    execute("default", "ALTER SCHEMA was RENAME TO now")
    try:
        assert names() == ["a"]
        with connection.execute_wrapper(refuse):
            assert names() == ["a"]
        execute("default", "ALTER SCHEMA now RENAME TO was")
        execute("default", "CREATE SCHEMA now")
        execute("default", "CREATE TABLE now.shown (id integer PRIMARY KEY, name text)")
        assert names() == []
    finally:
        execute("default", "DROP SCHEMA now CASCADE")


def test_in_a_broken_transaction_nothing_is_stored_and_nothing_breaks():
    Category.objects.create(name="old")
    names = reader(Category)
    with transaction.atomic():
        try:
            with transaction.atomic(savepoint=False):
                raise ValueError
        except ValueError:
            pass
        with pytest.raises(transaction.TransactionManagementError):
            names()
        transaction.set_rollback(True)
    assert names() == ["old"]


def test_a_question_that_fails_does_not_break_the_transaction(monkeypatch):
    from cache_invalidation.observing.relations import postgresql

    Category.objects.create(name="old")
    names = reader(Category)
    monkeypatch.setattr(postgresql, "_CANDIDATES", "SELECT %(name)s, %(schema)s, 1 / 0")
    with transaction.atomic():
        with pytest.warns(CacheDependencyWarning, match="unknown kind"):
            assert names() == ["old"]
        assert list(Tag.objects.all()) == []
    monkeypatch.undo()
    assert names() == ["old"]


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_it_is_asked_once_for_each_table(monkeypatch, using):
    from cache_invalidation.observing import relations

    asked, ask = [], relations._ask

    def counted(connection, name, tables):
        asked.append(name)
        return ask(connection, name, tables)

    monkeypatch.setattr(relations, "_ask", counted)
    Category.objects.using(using).create(name="a")

    @cached(name="one category")
    def name(number):
        return Category.objects.using(using).filter(pk=number).first()

    for number in range(5):
        name(number)
    assert asked == [("testapp_category",)]
    execute(using, "ALTER TABLE testapp_category RENAME COLUMN name TO title")
    execute(using, "ALTER TABLE testapp_category RENAME COLUMN title TO name")
    for number in range(5):
        name(number)
    assert asked == [("testapp_category",)] * 2


def test_nobody_sees_the_question(django_assert_num_queries):
    Category.objects.create(name="a")
    names = reader(Category)
    with django_assert_num_queries(1):
        names()


def test_a_definition_drops_everything_everywhere(define):
    Tag.objects.create(name="old")
    names = reader(Tag)
    assert names() == ["old"]
    update_behind_the_back(Tag.objects.all(), name="new")
    execute("default", "CREATE INDEX tag_names ON testapp_tag (name)")
    define("default", "SELECT 1", "DROP INDEX tag_names")
    execute("default", "CREATE TABLE staged (LIKE testapp_tag)")
    define("default", "SELECT 1", "DROP TABLE staged")
    assert names() == ["old"], "neither changes what a table is"
    execute("default", "ALTER TABLE testapp_category RENAME COLUMN name TO title")
    execute("default", "ALTER TABLE testapp_category RENAME COLUMN title TO name")
    assert names() == ["new"]
