"""A save of one row of ten thousand that are cached."""

import random

import pytest

from cache_invalidation import cached, no_invalidation
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Filling
from cache_invalidation.tags import expand, row_tag
from tests.coverage_matrix.shapes import counted, runs
from tests.coverage_matrix.world import clear
from tests.testapp.matrix import Bystander

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

ROWS = 10_000
SAMPLE = 500


@cached()
@counted
def name_of(pk):
    return Bystander.objects.filter(pk=pk).values_list("name", flat=True).first()


@cached()
@counted
def number_of_rows():
    return Bystander.objects.count()


@cached()
@counted
def two_names(one, two):
    return list(Bystander.objects.filter(pk__in=[one, two]).values_list("name", flat=True))


def fill(rows):
    """Store what calls of `name_of` would store, without the three round trips of each."""
    store = get_store()
    declared = set(name_of.tags.of_call({}, (), {}))
    rows_and_families = expand(row_tag(Bystander, row.pk) for row in rows)
    versions = store.mint([*declared.union(rows_and_families)], 300)
    for row in rows:
        tags = expand([*declared, row_tag(Bystander, row.pk)])
        sealed = {tag: versions[tag] for tag in tags}
        further = tuple(tag for tag in tags if tag not in declared)
        payload = store.encode(row.name)
        store.fill(
            Filling(
                entry=store.entry_place(name_of.key(row.pk)),
                payload=payload,
                versions=sealed,
                further=further,
                timeout=300,
            )
        )


def test_a_save_of_one_row_drops_what_depends_on_it_and_nothing_else():
    clear("default")
    with no_invalidation():
        rows = Bystander.objects.bulk_create([Bystander(name=f"{i}") for i in range(ROWS)])
    name_of(rows[0].pk)
    place = get_store().entry_place(name_of.key(rows[0].pk))
    stored = get_store().lookup(place, ["*"]).entry
    assert stored is not None
    assert {"*", *stored.further} == set(expand([row_tag(Bystander, rows[0].pk)]))
    fill(rows)
    row, *others = random.sample(rows, SAMPLE + 1)
    number_of_rows()
    two_names(row.pk, others[0].pk)
    two_names(others[1].pk, others[2].pk)
    runs.clear()
    assert name_of(row.pk) == row.name
    assert not runs

    row.name = "written"
    row.save()

    assert [name_of(other.pk) for other in others] == [other.name for other in others]
    two_names(others[1].pk, others[2].pk)
    assert not runs
    assert name_of(row.pk) == "written"
    assert "written" in two_names(row.pk, others[0].pk)
    number_of_rows()
    assert runs == {"name_of": 1, "two_names": 1, "number_of_rows": 1}
    clear("default")
