"""What goes wrong in the watcher is said and counted, and costs the project nothing else."""

import logging
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from cache_invalidation import cached
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.observing import watcher
from cache_invalidation.reads import recorders
from cache_invalidation.writes import collect, statements
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Broken(Exception):
    pass


def broken(*args, **kwargs):
    raise Broken


@pytest.fixture(params=["autocommit", "atomic"])
def scope(request):
    """Return what makes the block a transaction, or nothing of the kind."""

    @contextmanager
    def autocommit():
        yield

    return autocommit if request.param == "autocommit" else transaction.atomic


@cached(name="name of a category, watched")
def name_of(pk):
    return Category.objects.values_list("name", flat=True).get(pk=pk)


@cached(name="number of tags")
def number_of_tags():
    return Tag.objects.count()


def assert_the_failure_was_told(caplog):
    assert [record.exc_info[0] for record in caplog.records] == [Broken]
    assert read_metrics()["failed_invalidations"] == 1


BREAKABLE = [
    pytest.param(statements, "all_written", id="rows"),
    pytest.param(collect, "consequences", id="rules"),
    pytest.param(watcher, "analyze", id="text"),
]


@pytest.mark.parametrize(("module", "name"), BREAKABLE)
def test_a_write_that_cannot_be_looked_at_is_made_and_makes_everything_stale(
    module, name, scope, monkeypatch, caplog
):
    pk = Category.objects.create(name="old").pk
    Tag.objects.create(name="old")
    assert (name_of(pk), number_of_tags()) == ("old", 1)
    update_behind_the_back(Category.objects.filter(pk=pk), name="unseen")
    assert (name_of(pk), number_of_tags()) == ("old", 1)
    reset_metrics()
    with monkeypatch.context() as patch, scope(), connection.cursor() as cursor:
        patch.setattr(module, name, broken)
        cursor.execute("UPDATE testapp_tag SET name = 'new'")
    assert_the_failure_was_told(caplog)
    assert name_of(pk) == "unseen"


@pytest.mark.parametrize(("module", "name"), [(recorders, "tags_read"), (watcher, "analyze")])
def test_a_read_that_cannot_be_looked_at_is_made_and_its_value_not_stored(
    module, name, monkeypatch, caplog, settings
):
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "ignore"}
    Category.objects.create(name="old")
    reset_metrics()

    @cached()
    def names():
        return list(Category.objects.values_list("name", flat=True))

    with monkeypatch.context() as patch:
        patch.setattr(module, name, broken)
        assert names() == ["old"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Broken]
    assert read_metrics()["failed_invalidations"] == 1
    update_behind_the_back(Category.objects.all(), name="unseen")
    assert names() == names() == ["unseen"]
    update_behind_the_back(Category.objects.all(), name="unseen again")
    assert names() == ["unseen"]


def test_an_audit_that_fails_costs_nothing(monkeypatch, caplog):
    @cached(tags=[Category])
    def names():
        return list(Category.objects.values_list("name", flat=True))

    monkeypatch.setattr(recorders, "tags_read", broken)
    assert names() == []
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    monkeypatch.undo()
    Category.objects.create(name="new")
    assert names() == ["new"]


def test_a_statement_that_is_no_text_is_left_to_the_driver():
    for using in ("default", "sqlite"):
        outcomes = []
        for _ in range(2):
            try:
                with connections[using].cursor() as cursor:
                    cursor.execute(object())  # type: ignore[arg-type]
            except Exception as error:
                outcomes.append(type(error))
            watcher.uninstall()
        watcher.install(statements.write)
        assert len(outcomes) == 2
        assert outcomes[0] is outcomes[1]
