"""Names that are longer than a tag may be, in models, columns, keys and entity types."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, models

from cache_invalidation import ModelInvalidation, cached, explain, invalidate, registry
from cache_invalidation.exceptions import TemplateError
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.rules.rule import Rule
from cache_invalidation.rules.templates import parse
from cache_invalidation.tags import MAX_LENGTH, family
from tests.cursors import execute
from tests.delivered import Delivered, delivered
from tests.outages import down, use  # noqa: F401 - fixtures
from tests.testapp.made import models_forgotten
from tests.testapp.models import Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def make(label: str, **columns: Any) -> Any:
    meta = type("Meta", (), {"db_table": "long_name", "app_label": "testapp"})
    body = {"__module__": "tests.testapp.models", "Meta": meta, **columns}
    return type(label, (models.Model,), body)


@pytest.fixture(params=["Long" * 75, "Größe" * 60, "L" * 207, "L" * 208, "L" * 209])
def model(request: pytest.FixtureRequest, using: str) -> Iterator[Any]:
    """A model whose label is longer than a tag, or as long as leaves just no room for a row."""
    with models_forgotten():
        made = make(
            request.param,
            name=models.CharField(max_length=400),
            tags=models.ManyToManyField(Tag, db_table="long_name_tags", related_name="+"),
            **{"column" * 30: models.CharField(max_length=400, db_column="long_column")},
        )
        with connections[using].schema_editor() as editor:
            editor.create_model(made)
        try:
            yield made
        finally:
            with connections[using].schema_editor() as editor:
                editor.delete_model(made)


def check(found: Delivered) -> None:
    assert found
    assert all(len(tag) <= MAX_LENGTH for tag in found.tags)


@pytest.mark.parametrize("tracks", [False, True])
def test_what_is_cached_of_it_goes_with_each_write(model: Any, using: str, tracks: bool) -> None:
    rows = model.objects.using(using)
    column = "column" * 30

    @cached()
    def name(pk: int) -> str:
        return str(rows.get(pk=pk).name)

    @cached()
    def names() -> list[str]:
        return list(rows.order_by("pk").values_list("name", flat=True))

    @cached()
    def named(value: str) -> list[str]:
        return list(rows.filter(**{column: value}).values_list("name", flat=True))

    @cached(tags=[model])
    def number() -> int:
        return int(rows.count())

    class Tracks(ModelInvalidation):
        track = [column]
        tags = ["long:{name}"]

    with registry.override(model, Tracks if tracks else None), delivered() as found:
        row, other = (rows.create(name=n, **{column: n}) for n in ("a" * 300, "b"))

        def check_reads() -> None:
            assert name(row.pk) == rows.get(pk=row.pk).name
            assert name(other.pk) == "b"
            assert names() == list(rows.order_by("pk").values_list("name", flat=True))
            assert number() == rows.count()
            for value in ("a" * 300, "b"):
                expected = rows.filter(**{column: value}).values_list("name", flat=True)
                assert named(value) == list(expected)

        check_reads()
        row.name = "c"
        row.save()
        check_reads()
        rows.filter(pk=row.pk).update(**{column: "b"})
        check_reads()
        rows.filter(name="c").update(name="d")
        check_reads()
        execute(using, "UPDATE long_name SET name = 'e' WHERE id = %s", [row.pk])
        check_reads()
        row.tags.add(Tag.objects.using(using).create(name="t"))
        row.tags.clear()
        rows.bulk_create([model(name="f", **{column: "b"})])
        check_reads()
    check(found)


def test_others_of_its_rows_stay_cached(model: Any, using: str) -> None:
    rows = model.objects.using(using)
    row, other = rows.create(name="a"), rows.create(name="b")
    calls = []

    @cached()
    def name(pk: int) -> str:
        calls.append(pk)
        return str(rows.get(pk=pk).name)

    name(row.pk), name(other.pk)
    row.save()
    name(row.pk), name(other.pk)
    assert calls == [row.pk, other.pk, row.pk]
    invalidate(model)
    name(row.pk), name(other.pk)
    assert calls == [row.pk, other.pk, row.pk, row.pk, other.pk]


def test_it_is_explained_counted_and_kept_for_later(model: Any, using: str) -> None:
    row = model.objects.using(using).create(name="a")
    assert len(explain(row).tags) == 2
    assert all(len(tag) <= MAX_LENGTH for tag in explain(row).tags)
    reset_metrics()
    row.save()
    label = model._meta.label_lower
    assert read_metrics()["invalidations_by_entity_type"] == {label: 1}


def test_it_waits_in_the_outbox_while_the_cache_is_down(
    model: Any,
    using: str,
    down: Callable[..., None],  # noqa: F811
) -> None:
    row = model.objects.using(using).create(name="a")
    waiting = PendingInvalidation.objects.using(using)
    waiting.all().delete()
    row.save()
    label = model._meta.label_lower
    assert waiting.get().entity_type == label[:250]
    assert waiting.get().entities == {label: 1}


@pytest.mark.parametrize("length", [217, 248])
def test_a_template_whose_family_leaves_no_room_is_refused_when_it_is_declared(length: int) -> None:
    tag = "f" * length + ":{name}"

    def greeting(name: str) -> None: ...

    with pytest.raises(TemplateError, match="longer than 216 characters"):
        cached(tags=[tag])(greeting)
    rule = Rule(type("Long", (ModelInvalidation,), {"tags": [tag]})(Tag))
    assert "longer than 216 characters" in str(rule.defect)


def test_a_template_may_have_long_names_of_placeholders() -> None:
    name = "n" * 300
    template = parse(f"{'f' * 216}:{{{name}}}")
    assert template.render({name: "v" * 33}.__getitem__) == f"{'f' * 216}:{'v' * 33}"
    long = template.render({name: "v" * 34}.__getitem__)
    assert len(long) == MAX_LENGTH
    assert family(long) == family(template.collapsed()) == f"{'f' * 216}:*"
