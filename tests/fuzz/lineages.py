"""Multi-table inheritance that is made up at random: rows that are in several tables."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from django.db import models

from tests.fuzz.random_models import NUMBERS, make_table
from tests.fuzz.schemas import Table
from tests.moments import EventfulInteger
from tests.testapp.made import make_model

SIDES = (21, 22, 23)
OWN_KEYS = (11, 12, 13)


def random_lineage(rng: random.Random, **options: Any) -> Iterator[Table]:
    """Yield a parent, what refers to it, and some of the kinds of children it can have.

    `options` are those of `make_table`, for the parent.
    """
    parent = make_table(rng, "FuzzA", [], False, **options)
    yield parent
    made = [parent]
    for kind in rng.sample(_KINDS, rng.randint(1, 2)):
        for table in kind(parent):
            made.append(table)
            yield table
    options.pop("db_table", None)
    options["is_split"] = False
    children = [table for table in made if "n" in table.pools]
    yield make_table(rng, "FuzzB", [rng.choice(children), rng.choice(children)], False, **options)


def _child(name: str, number: str, parent: Table, *further: Table, **attributes: Any) -> Table:
    """Return a child of one parent or of several, whose key is that of the first."""
    parents = (parent, *further)
    above = {key: {"id": key, **parent.keys_above(key)} for key in parent.keys}
    pools = {name: pool for table in parents for name, pool in table.pools.items()}
    return Table(
        make_model(
            name,
            {number: EventfulInteger(default=0), **attributes},
            *(each.model for each in parents),
        ),
        parent.keys,
        {**pools, number: NUMBERS},
        dict(parent.relations),
        dict(parent.many),
        parent,
        number=number,
        above=above,
        is_loose=parent.is_loose,
    )


def _twins(parent: Table) -> Iterator[Table]:
    """A row of the parent can be in both."""
    yield _child("FuzzTwin", "c", parent)
    yield _child("FuzzOtherTwin", "d", parent)


def _grandchild(parent: Table) -> Iterator[Table]:
    child = _child("FuzzChild", "c", parent)
    yield child
    yield _child("FuzzGrandchild", "d", child)


def _own_key(parent: Table) -> Iterator[Table]:
    """Its row has another key than the one in the parent's table."""
    link = models.OneToOneField(parent.model, models.CASCADE, parent_link=True, related_name="own")
    key = models.IntegerField(primary_key=True)
    child = _child("FuzzOwn", "c", parent, link=link, key=key)
    above = {own: {"id": key} for own, key in zip(OWN_KEYS, parent.keys, strict=False)}
    yield Table(
        child.model,
        OWN_KEYS,
        child.pools,
        child.relations,
        child.many,
        parent,
        number="c",
        above=above,
        is_loose=parent.is_loose,
    )


def _diamond(parent: Table) -> Iterator[Table]:
    """A row of the last one is in four tables."""
    link = models.OneToOneField(
        parent.model, models.CASCADE, parent_link=True, primary_key=True, related_name="right"
    )
    left = _child("FuzzLeft", "c", parent)
    right = _child("FuzzRight", "d", parent, link=link)
    yield left
    yield right
    yield _child("FuzzDiamond", "e", left, right)


def _two_parents(parent: Table) -> Iterator[Table]:
    """The second parent knows nothing of the first, and its keys are others."""
    attributes = {"side": models.BigAutoField(primary_key=True), "x": EventfulInteger(default=0)}
    side = Table(make_model("FuzzSide", attributes), SIDES, {"x": NUMBERS}, number="x")
    yield side
    child = _child("FuzzBoth", "c", parent, side)
    for key, other in zip(parent.keys, (*SIDES, 24, 25), strict=False):
        child.above[key]["side"] = other  # type: ignore[index]
    yield child


_KINDS: list[Callable[[Table], Iterator[Table]]] = [
    _twins,
    _grandchild,
    _own_key,
    _diamond,
    _two_parents,
]
