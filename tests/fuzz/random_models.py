"""Models that are made up at random."""

import random
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import F, Model

from tests.fuzz.schemas import UNREAD, Table
from tests.testapp.made import make_model

UUIDS = tuple(UUID(int=number) for number in (1, 2**127, 3))
KEYS: dict[str, tuple[Any, ...]] = {
    "auto": (1, 2, 3, 101),  # The database goes on from 100, see `tables`.
    "int": (1, 2, 3),
    "char": ("a", "b", "x*", "7"),
    "uuid": UUIDS,
}
NUMBERS = (0, 1, 2)
TEXTS = ("a", "b", "*")
DAYS = (date(2024, 12, 31), date(2025, 1, 1), date(2025, 2, 1))
# Where the database compares in its own way, some of these are the same.
LOOSE_KEYS = ("a", "b", "A", "a ", "B ")
LOOSE_TEXTS = ("a", "b", "A", "a ")


class OnlyOne(models.IntegerField):  # type: ignore[type-arg]
    """A column that is 1 in one row at most: saving a row with it takes it from the others."""

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if value == 1:
            others = self.model._base_manager.using(model_instance._state.db or saving_to[0])
            others.exclude(pk=model_instance.pk).filter(p=1).update(p=0)
        return value


# The alias that is written to; `pre_save` is not told.
saving_to: list[str] = ["default"]


def random_tables(rng: random.Random, database: bool) -> Iterator[Table]:
    """Yield models; with `database`, foreign keys leave it to the database what is deleted.

    Django allows no mixture of both.
    """
    made: list[Table] = []
    for number in range(rng.randint(2, 3)):
        table = make_table(rng, f"Fuzz{'ABC'[number]}", made, database)
        made.append(table)
        yield table
    if not database and rng.random() < 0.6:
        yield _child(rng, rng.choice(made))


def make_table(
    rng: random.Random,
    name: str,
    made: Sequence[Table],
    database: bool,
    *,
    db_table: str | None = None,
    is_loose: bool = False,
    is_split: bool = False,
) -> Table:
    """Return a model that may refer to those `made`.

    With `is_loose`, the database takes texts of different case for equal, or of different length;
    one that `is_split` is in partitions, and has nothing unique besides its key.
    """
    kind = "char" if is_loose and rng.random() < 0.6 else rng.choice(list(KEYS))
    keys = LOOSE_KEYS if is_loose and kind == "char" else KEYS[kind]
    attributes: dict[str, Any] = {"id": _key(kind)}
    pools: dict[str, tuple[Any, ...]] = {"n": NUMBERS, "s": TEXTS, "m": (None, *NUMBERS)}
    if is_loose:
        pools["s"] = LOOSE_TEXTS
    attributes["n"] = models.IntegerField(
        default=0, db_column=rng.choice([None, None, "number of it"])
    )
    attributes["s"] = models.CharField(max_length=20, default="a")
    attributes["m"] = models.IntegerField(null=True)
    attributes["day"], pools["day"] = models.DateField(null=True), (None, *DAYS)
    attributes[UNREAD], pools[UNREAD] = models.IntegerField(default=0), NUMBERS
    if rng.random() < 0.5 and not is_split:
        attributes["u"] = models.IntegerField(null=True, unique=True)
        pools["u"] = (None, 1, 2, 3)
    if rng.random() < 0.25:
        attributes["g"] = models.GeneratedField(
            expression=F("n") * 2, output_field=models.IntegerField(), db_persist=True
        )
    if rng.random() < 0.4:
        attributes["p"] = OnlyOne(default=0)
        pools["p"] = (0, 1)
    relations, many = {}, {}
    for number in range(rng.randint(1, 2)) if made else ():
        target = rng.choice(made)
        attributes[f"f{number}"], pools[f"f{number}_id"] = _foreign_key(
            rng, target, name, number, database
        )
        relations[f"f{number}"] = target
    if made and rng.random() < 0.6:
        target = rng.choice(made)
        attributes["t"] = models.ManyToManyField(target.model, related_name=f"t_of_{name}")
        many["t"] = target
    model = make_model(name, attributes, db_table=db_table)
    table = Table(model, keys, pools, relations, many, is_loose=is_loose)
    if rng.random() < 0.3 and not database:  # A tree.
        related = models.ForeignKey(
            table.model, rng.choice([models.CASCADE, models.SET_NULL]), null=True, related_name="of"
        )
        related.contribute_to_class(table.model, "up")
        table.relations["up"] = table
        table.pools["up_id"] = (None, *table.keys[:2])
    return table


def _key(kind: str) -> Any:
    return {
        "auto": models.BigAutoField,
        "int": models.IntegerField,
        "char": models.CharField,
        "uuid": models.UUIDField,
    }[kind](primary_key=True, **({"max_length": 20} if kind == "char" else {}))


def _foreign_key(
    rng: random.Random, target: Table, name: str, number: int, database: bool
) -> tuple[Any, tuple[Any, ...]]:
    null = rng.random() < 0.7
    options: dict[str, Any] = {"null": null, "related_name": f"f{number}_of_{name}"}
    if database:
        names = ["DB_CASCADE", "DB_SET_NULL"] if null else ["DB_CASCADE"]
        on_delete = getattr(models, rng.choice(names))
    else:
        choices: list[Any] = [models.CASCADE, models.CASCADE, models.PROTECT, models.RESTRICT]
        choices += [models.SET_NULL, models.SET_DEFAULT, models.SET(None)] if null else []
        on_delete = rng.choice([*choices, models.DO_NOTHING])
        if on_delete is models.DO_NOTHING and rng.random() < 0.5:
            options["db_constraint"] = False  # Otherwise, see `_cascading_by_hand`.
        if on_delete is models.SET_DEFAULT:
            options["default"] = rng.choice([None, target.keys[0]])
    keys = target.keys[:3]
    if "u" in target.pools and target.parent is None and rng.random() < 0.3:
        options["to_field"] = "u"
        keys = (1, 2)
        if options.get("default") is not None:
            options["default"] = 1
    return models.ForeignKey(target.model, on_delete, **options), ((None, *keys) if null else keys)


def _child(rng: random.Random, parent: Table) -> Table:
    model = make_model("FuzzChild", {"c": models.IntegerField(default=0)}, parent.model)
    return Table(
        model,
        parent.keys,
        {**parent.pools, "c": NUMBERS},
        dict(parent.relations),
        dict(parent.many),
        parent,
        number="c",
        above={key: {"id": key} for key in parent.keys},
    )
