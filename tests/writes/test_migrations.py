"""After a migration nothing that was cached before is served."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.models.signals import post_migrate

from cache_invalidation import cached
from cache_invalidation.writes import migrations
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@cached(name="names before and after")
def names(using):
    return list(Category.objects.using(using).values_list("name", flat=True))


@pytest.mark.parametrize("using", ["default", "other"])
def test_everything_is_stale_after_a_migration_of_any_database(using, deliveries):
    Category.objects.create(name="old")
    assert names("default") == ["old"]
    update_behind_the_back(Category.objects.all(), name="moved by the migration")
    assert names("default") == ["old"]
    call_command("migrate", database=using, verbosity=0)
    assert names("default") == ["moved by the migration"]
    (last,) = (each for each in deliveries if each.tags == {"*"})
    assert last.cause == "migrate"


def test_a_flush_leaves_nothing():
    Category.objects.create(name="old")
    assert names("default") == ["old"]
    call_command("flush", interactive=False, verbosity=0)
    assert names("default") == []


def test_what_other_receivers_of_the_signal_write_is_dropped_too():
    label = next(each for each in apps.get_app_configs() if each.models_module is not None).label

    def write(sender, **kwargs):
        if sender.label == label:
            assert names("default") == ["old"]
            update_behind_the_back(Category.objects.all(), name="new")

    Category.objects.create(name="old")
    post_migrate.connect(write)
    try:
        call_command("migrate", verbosity=0)
    finally:
        post_migrate.disconnect(write)
    assert names("default") == ["new"]


def test_it_is_said_once_however_often_it_is_installed(deliveries):
    migrations.install()
    migrations.install()
    call_command("migrate", verbosity=0)
    assert [each.tags for each in deliveries].count({"*"}) == 1


def test_a_migration_that_moves_rows_by_itself_is_seen_while_it_runs():
    Category.objects.create(name="old")
    assert names("default") == ["old"]
    with connection.schema_editor() as editor:
        editor.execute("UPDATE testapp_category SET name = 'new'")
    assert names("default") == ["new"]
    with connection.schema_editor() as editor:
        editor.execute("ALTER TABLE testapp_category ADD COLUMN extra varchar(5) NULL")
    try:
        assert names("default") == ["new"]
    finally:
        with connection.schema_editor() as editor:
            editor.execute("ALTER TABLE testapp_category DROP COLUMN extra")
