"""System checks of what a database does by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.checks import CheckMessage, Warning
from django.db import DatabaseError, connections, models

from cache_invalidation.checks.schema import check_schema
from tests.checks.reporting import configured, only, reported
from tests.cursors import execute
from tests.observing.relations.conftest import make_model
from tests.testapp.made import models_forgotten
from tests.testapp.models import Category

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@contextmanager
def constrained(action: str) -> Iterator[None]:
    """Have products refer to their category by a second constraint, with an action."""
    execute(
        "default",
        "ALTER TABLE testapp_product ADD CONSTRAINT by_hand FOREIGN KEY (category_id) "
        f"REFERENCES testapp_category (id) {action}",
    )
    try:
        yield
    finally:
        execute("default", "ALTER TABLE testapp_product DROP CONSTRAINT by_hand")


@contextmanager
def triggered(using: str, *texts: str) -> Iterator[None]:
    """Execute `texts`, and take away what they have made when the block ends."""
    for text in texts:
        execute(using, text)
    try:
        yield
    finally:
        for text in reversed(texts):
            kind, name, *rest = text.replace(" OR REPLACE", "").split()[1:]
            on = f" ON {rest[rest.index('ON') + 1]}" if kind == "TRIGGER" else ""
            execute(using, f"DROP {kind} {name}{'' if using == 'sqlite' else on}")


def found(*databases: str) -> list[CheckMessage]:
    return check_schema(databases or DATABASES)


@pytest.mark.parametrize(
    "action", ["ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE", "ON UPDATE SET NULL"]
)
def test_w021_a_constraint_that_does_what_the_model_does_not_say(action: str):
    with constrained(action):
        message = only(found(), Warning, "W021")
        assert reported() == []
        assert found("other", "sqlite") == []
    assert "'default'" in message.msg
    assert message.msg.endswith(" testapp_product.category_id.")
    assert found() == []


@pytest.mark.parametrize("action", ["", "ON DELETE RESTRICT", "ON UPDATE NO ACTION"])
def test_a_constraint_that_changes_nothing_is_none_of_them(action: str):
    with constrained(action):
        assert found() == []


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_constraint_that_leads_elsewhere_than_the_field_is_one_of_them(using: str):
    execute(using, "CREATE TABLE root (id integer PRIMARY KEY)")
    execute(
        using,
        "CREATE TABLE leaf (id integer PRIMARY KEY,"
        " category_id integer REFERENCES root ON DELETE CASCADE)",
    )
    try:
        with models_forgotten():
            key = models.ForeignKey(Category, models.DO_NOTHING, related_name="+")
            make_model("Leaf", "leaf", category=key)
            message = only(found(), Warning, "W021")
    finally:
        execute(using, "DROP TABLE leaf")
        execute(using, "DROP TABLE root")
    assert message.msg.endswith(" leaf.category_id.")


def test_a_constraint_of_sqlite_is_found_as_well():
    execute("sqlite", "ALTER TABLE testapp_product RENAME TO kept")
    execute(
        "sqlite",
        "CREATE TABLE testapp_product (id integer PRIMARY KEY, "
        "category_id bigint REFERENCES testapp_category (id) ON DELETE CASCADE)",
    )
    try:
        message = only(found(), Warning, "W021")
    finally:
        execute("sqlite", "DROP TABLE testapp_product")
        execute("sqlite", "ALTER TABLE kept RENAME TO testapp_product")
    assert "'sqlite'" in message.msg
    assert message.msg.endswith(" testapp_product.category_id.")


TRIGGERS = {
    "default": (
        "CREATE OR REPLACE FUNCTION restock() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TRIGGER stock BEFORE UPDATE ON testapp_product "
        "FOR EACH ROW EXECUTE FUNCTION restock()",
    ),
    "sqlite": (
        "CREATE TRIGGER stock AFTER UPDATE ON testapp_product "
        "BEGIN UPDATE testapp_category SET name = ''; END",
    ),
}


@pytest.mark.parametrize("using", TRIGGERS)
def test_w022_a_trigger(using: str):
    with triggered(using, *TRIGGERS[using]):
        message = only(found(), Warning, "W022")
        assert reported() == []
    assert repr(using) in message.msg
    assert "on testapp_product." in message.msg
    assert found() == []


def test_w022_a_rule_and_no_view():
    execute("default", "CREATE VIEW shown AS SELECT * FROM testapp_category")
    execute("default", "CREATE RULE quiet AS ON DELETE TO testapp_category DO INSTEAD NOTHING")
    try:
        message = only(found(), Warning, "W022")
    finally:
        execute("default", "DROP RULE quiet ON testapp_category")
        execute("default", "DROP VIEW shown")
    assert "on testapp_category." in message.msg


def test_tables_that_nobody_watches_may_have_what_they_like():
    with (
        triggered("default", *TRIGGERS["default"]),
        constrained("ON DELETE CASCADE"),
        configured(EXCLUDE=["testapp.Product"]),
    ):
        assert found() == []


def test_a_trigger_that_is_switched_off_does_nothing():
    with triggered("default", *TRIGGERS["default"]):
        execute("default", "ALTER TABLE testapp_product DISABLE TRIGGER stock")
        assert found() == []


def test_a_database_that_is_down_is_no_mistake(monkeypatch: pytest.MonkeyPatch):
    def cursor() -> None:
        raise DatabaseError("down")

    with triggered("sqlite", *TRIGGERS["sqlite"]):
        monkeypatch.setattr(connections["default"], "cursor", cursor)
        message = only(found(), Warning, "W022")
        monkeypatch.undo()
    assert "'sqlite'" in message.msg
