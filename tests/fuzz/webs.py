"""Models that are related to each other in all ways that Django has, made up at random."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from tests.fuzz.random_models import KEYS, NUMBERS, TEXTS, make_table
from tests.fuzz.schemas import UNREAD, Table
from tests.testapp.made import make_model


def random_web(rng: random.Random, alias: str) -> Iterator[Table]:
    """Yield three tables in a row, each of which refers to the one before, and what hangs on them.

    A model between two of them, one row of details for each, notes on whatever has an integer key.
    """
    made: list[Table] = []
    for number in range(3):
        made.append(make_table(rng, f"Fuzz{'ABC'[number]}", made[-1:], False))
        yield made[-1]
    first, _, last = made
    if rng.random() < 0.3:
        _relate_to_itself(rng, first)
    yield _between(rng, last, rng.choice(made[:2]))
    yield _details(rng, rng.choice(made))
    noted = [table for table in made if isinstance(table.keys[0], int)]
    if noted and rng.random() < 0.7:
        yield _notes(rng, noted, alias)


def _relate_to_itself(rng: random.Random, table: Table) -> None:
    relation: Any = models.ManyToManyField("self", symmetrical=rng.random() < 0.5)
    relation.contribute_to_class(table.model, "like")
    table.many["like"] = table


def _plain() -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    attributes = {
        "n": models.IntegerField(default=0),
        "s": models.CharField(max_length=20, default="a"),
        UNREAD: models.IntegerField(default=0),
    }
    return attributes, {"n": NUMBERS, "s": TEXTS, UNREAD: NUMBERS}


def _between(rng: random.Random, source: Table, target: Table) -> Table:
    """Return the explicit model of a many-to-many relation, the one side of which gets it."""
    attributes, pools = _plain()
    is_kept = rng.random() < 0.7
    for number, side in enumerate((source, target)):
        attributes[f"f{number}"] = models.ForeignKey(
            side.model, models.CASCADE, related_name=f"links{number}", db_constraint=is_kept
        )
        pools[f"f{number}_id"] = side.keys[:3]
    options = {"unique_together": [("f0", "f1")]} if rng.random() < 0.5 else {}
    attributes["id"] = models.BigAutoField(primary_key=True)
    model = make_model("FuzzLink", attributes, **options)
    relation: Any = models.ManyToManyField(target.model, through=model, related_name="linked")
    relation.contribute_to_class(source.model, "w")
    source.many["w"] = target
    return Table(model, KEYS["auto"], pools, {"f0": source, "f1": target})


def _details(rng: random.Random, target: Table) -> Table:
    """Return a model of which each row belongs to one of `target`, and may have its key."""
    attributes, pools = _plain()
    has_its_key = rng.random() < 0.5
    attributes["f0"] = models.OneToOneField(
        target.model, models.CASCADE, related_name="details", primary_key=has_its_key
    )
    if has_its_key:
        keys = target.keys
    else:
        keys, pools["f0_id"] = KEYS["int"], target.keys[:3]
        attributes["id"] = models.IntegerField(primary_key=True)
    return Table(make_model("FuzzDetails", attributes), keys, pools, {"f0": target})


def _notes(rng: random.Random, targets: Sequence[Table], alias: str) -> Table:
    """Return a model of which each row is about one of any of `targets`."""
    attributes, pools = _plain()
    types = ContentType.objects.db_manager(alias)
    pools["content_type_id"] = tuple(types.get_for_model(each.model).pk for each in targets)
    pools["object_id"] = (1, 2, 3)
    attributes |= {
        "id": models.BigAutoField(primary_key=True),
        "content_type": models.ForeignKey(ContentType, models.CASCADE, related_name="+"),
        "object_id": models.PositiveBigIntegerField(default=1),
        "about": GenericForeignKey(),
    }
    model = make_model("FuzzNote", attributes)
    for target in targets:
        if rng.random() < 0.7:
            relation: Any = GenericRelation(model)
            relation.contribute_to_class(target.model, "notes")
    generic = {"about": [target.model for target in targets]}
    return Table(model, KEYS["auto"], pools, generic=generic)
