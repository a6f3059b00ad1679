"""What operators see of cached queries, and how they drop them."""

from io import StringIO
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from cache_invalidation import explain, invalidate
from cache_invalidation.explain.readers import dependent_on, functions_known
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.operations.names import KnownNames
from cache_invalidation.surfaces.querysets.names import model_of, name_of
from cache_invalidation.tags import function_tag
from tests.delivered import update_behind_the_back
from tests.querysets.asking import both, names
from tests.testapp.models import Product
from tests.testapp.novels import Novel

pytestmark = both

NAME = "testapp.novel.queries"


@pytest.fixture
def rows(using):
    Novel.objects.using(using).create(name="old")
    rows = Novel.objects.using(using).cached()
    assert names(rows.all()) == names(rows.all()) == ["old"]
    return rows


def test_the_name_is_that_of_the_model():
    assert name_of(Novel) == NAME
    assert model_of(NAME) is Novel
    for other in ("testapp.novel", "testapp.nothing.queries", "novel.queries", "a.b.c.queries"):
        assert model_of(other) is None


def test_reads_are_counted_under_it(rows):
    assert read_metrics()["functions"][NAME] == {
        "hits": 1,
        "misses": 1,
        "bypasses": 0,
        "hit_rate": 0.5,
    }


def test_it_is_known_with_what_it_depends_on(rows):
    (entry,) = [each for each in functions_known(KnownNames()) if each["function"] == NAME]
    assert entry["loaded"]
    assert entry["tags"] is None
    assert entry["found"] == ["testapp.novel"]
    assert entry["timeout"] == 300
    with override_settings(CACHE_INVALIDATION={"QUERIES": {"testapp.*": 7}}):
        (entry,) = [each for each in functions_known(KnownNames()) if each["function"] == NAME]
    assert entry["timeout"] == 7
    assert NAME in dependent_on(["testapp.novel"], KnownNames())
    assert NAME not in dependent_on(["testapp.product"], KnownNames())


def test_all_queries_of_a_model_are_dropped_by_name(rows):
    for drop in (
        lambda: call_command("invalidate_cache", NAME, verbosity=0),
        lambda: invalidate(tags=[function_tag(NAME)]),
        lambda: invalidate(Novel),
        lambda: invalidate(tags=["*"]),
    ):
        rows.all().count()
        (before,) = names(rows.all())
        new = f"{before}, new"
        update_behind_the_back(Novel.objects.using(rows.db), name=new)
        assert names(rows.all()) == [before]
        drop()
        assert names(rows.all()) == [new]


def test_they_are_dropped_by_name_although_nothing_was_counted(rows):
    reset_metrics()
    update_behind_the_back(Novel.objects.using(rows.db), name="new")
    call_command("invalidate_cache", NAME, verbosity=0)
    assert names(rows.all()) == ["new"]


def test_it_is_explained_what_may_become_stale(rows):
    assert NAME in explain(Novel).dependent()
    assert NAME not in explain(Product).dependent()


def test_they_are_not_compared_but_counted(rows):
    output = StringIO()
    with pytest.raises(CommandError, match="1 entries were found, and none could be"):
        call_command("check_cache_consistency", verbosity=2, format="text", stdout=output)
    assert "rows of queries are not compared" in output.getvalue()
    (line,) = [line for line in output.getvalue().splitlines() if line.startswith(f"{NAME} ")]
    assert line.split() == [NAME, "0", "0", "0", "1"]


def test_a_write_to_another_model_drops_nothing(rows):
    update_behind_the_back(Novel.objects.using(rows.db), name="unseen")
    Product.objects.using(rows.db).create(name="P")
    assert names(rows.all()) == ["old"]


def test_a_query_by_key_depends_on_the_row(using):
    one, other = (Novel.objects.using(using).create(name=name) for name in ("one", "other"))
    rows = Novel.objects.using(using).cached()
    assert rows.get(pk=one.pk).name == "one"
    update_behind_the_back(Novel.objects.using(using).filter(pk=one.pk), name="unseen")
    other.save()
    assert rows.get(pk=one.pk).name == "one"
    Novel.objects.using(using).filter(pk=one.pk).update(pages=3)
    assert rows.get(pk=one.pk).name == "unseen"


def test_databases_do_not_share_rows():
    for alias in ("default", "other", "sqlite"):
        Novel.objects.using(alias).create(name=alias)
        rows = Novel.objects.using(alias).cached()
        assert [row.name for row in rows.all()] == [row.name for row in rows.all()] == [alias]
        assert {row._state.db for row in rows} == {alias}


def test_an_alias_that_leads_to_another_database_later():
    for alias in ("default", "other"):
        Novel.objects.using(alias).create(name=alias)
    rows = Novel.objects.using("default").cached()
    assert names(rows.all()) == ["default"]
    connection = connections["default"]
    connection.close()
    with patch.dict(connection.settings_dict, {"NAME": connections["other"].settings_dict["NAME"]}):
        assert names(rows.all()) == ["other"]
        connection.close()
    assert names(rows.all()) == ["default"]


def test_another_release_uses_no_rows_of_this_one(rows):
    update_behind_the_back(Novel.objects.using(rows.db), name="unseen")
    assert names(rows.all()) == ["old"]
    with override_settings(CACHE_INVALIDATION={"CODE_VERSION": "2"}):
        assert names(rows.all()) == ["unseen"]


def test_parameters_are_told_apart_by_their_types(using):
    connection = connections[using]
    found = []
    for value in (1, True, "1", 1.0):
        rows = Novel.objects.using(using).cached().extra(where=["name = %s"], params=[str(value)])
        found.append(rows.count())
    assert found == [0] * 4
    assert connection.alias == using
