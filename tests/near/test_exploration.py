"""The protocol of near values, step by step, in every order. See `exploration` and `model`."""

import os
from typing import Any

import pytest

from tests.near.exploration import Explorer, Stale
from tests.near.model import Rules

ONE: dict[str, Any] = {"processes": (1,)}
TWO_THREADS: dict[str, Any] = {"processes": (2,)}

# Each leaves out one rule of a process, a writer or a script, and where that is found.
SABOTAGES: list[tuple[str, dict[str, Any]]] = [
    # Of processes and writers.
    ("answers_without_lease", ONE),
    ("keeps_after_joining", ONE),
    ("puts_blindly", ONE),
    ("counts_from_answer", ONE),
    ("keeps_what_is_not_registered", ONE),
    ("evicts_silently", {**TWO_THREADS, "evicts": 1}),
    ("takes_old_answers", {**TWO_THREADS, "writers": 1, "lapses": 1}),
    ("drops_own", {**ONE, "own": 0}),
    ("leaves_before_forgetting", {**ONE, "leaves": 1}),
    ("buries_the_living", {**ONE, "burials": 1}),
    ("tells_before", {**ONE, "overwrite": True}),
    # Of scripts.
    ("tells_of_values", {**ONE, "overwrite": True}),
    ("keeps_register", ONE),
    ("queues_each", ONE),
    ("waits_for_answers", ONE),
    ("minds_stamps", TWO_THREADS),
    ("minds_epochs", {**ONE, "losses": 1}),
    ("minds_youth", {**ONE, "losses": 1}),
    ("refuses_strangers", ONE),
    ("tells_again", {**ONE, "losses": 1}),
    ("tells_if_blind", {**ONE, "blinds": 1}),
    ("renews_epoch", {**ONE, "losses": 1}),
    ("registers_at_once", ONE),
]


@pytest.mark.parametrize(
    "world",
    [
        ONE,
        {**ONE, "evicts": 1},
        {**ONE, "losses": 1},
        {**ONE, "crashes": 1, "kills": 1},
        {**ONE, "lapses": 1},
        {**ONE, "blinds": 1, "own": 0},
        {**ONE, "leaves": 1, "burials": 1},
        TWO_THREADS,
        {"processes": (1, 1), "writers": 1},
        {**TWO_THREADS, "overwrite": True},
        {**ONE, "overwrite": True, "own": 0, "evicts": 1},
        {**ONE, "overwrite": True, "losses": 1},
        {**ONE, "overwrite": True, "crashes": 1, "kills": 1, "burials": 1, "leaves": 1},
        {"processes": (1, 1), "overwrite": True, "own": 0, "writers": 1},
    ],
    ids=str,
)
def test_nothing_stale_is_answered_or_kept(world):
    assert Explorer().run(**world) > 500


LARGER: list[dict[str, Any]] = [
    {**ONE, "crashes": 1, "kills": 1, "losses": 1},
]
# A million worlds and more take minutes each.
LARGEST: list[dict[str, Any]] = [
    {**ONE, "blinds": 1, "lapses": 1, "losses": 1},
    {"processes": (1, 1)},
    {**TWO_THREADS, "evicts": 1, "losses": 1},
    {**TWO_THREADS, "lapses": 1},
    {**TWO_THREADS, "own": 0, "leaves": 1, "burials": 1},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "world", [*LARGER, *(LARGEST if "EVERY_WORLD" in os.environ else ())], ids=str
)
def test_nor_in_larger_worlds(world):
    assert Explorer().run(**world) > 10_000


@pytest.mark.parametrize(("sabotage", "world"), SABOTAGES, ids=[name for name, _ in SABOTAGES])
def test_each_rule_is_needed(sabotage, world):
    rules = Rules()
    explorer = Explorer(rules)
    spoiled: Any = rules if hasattr(rules, sabotage) else explorer
    setattr(spoiled, sabotage, not getattr(spoiled, sabotage))
    with pytest.raises(Stale):
        explorer.run(**world)


@pytest.mark.parametrize("overwrite", [False, True])
def test_if_writers_do_not_wait_that_is_found(overwrite):
    with pytest.raises(Stale):
        Explorer(writers_wait=False).run(**ONE, overwrite=overwrite)
