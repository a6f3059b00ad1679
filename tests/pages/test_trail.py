"""The chain of inputs, without a store: where a value belongs, and who finds it there."""

import random
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from cache_invalidation.reads.read import Outcome, Read
from cache_invalidation.surfaces.inputs import trail
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.inputs.portraits import Opaque
from cache_invalidation.surfaces.inputs.trail import LONGEST, Step, Trail


class Shelf:
    """What is stored, by key; and how often somebody looked."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}
        self.looks = 0

    def look(self, read: Read) -> Outcome:
        """Look at one place, as the protocol does."""
        self.looks += 1
        if read.key not in self.stored:
            return "misses"
        read.is_hit, read.value = True, self.stored[read.key]
        return "hits"

    def get(self, world: Mapping[str, str], looked_at: Any) -> tuple[str, Outcome]:
        """Return the value in a `world`, and whether it was there.

        `looked_at` says, for a world, the names of what is looked at, in this order.
        """

        def current(name: str) -> str:
            if world[name] == "opaque":
                raise Opaque
            return world[name]

        way = Trail("shape", "always", current)
        read = Read("name", way.key, (), None)
        outcome = way.look(read)
        if read.is_hit:
            return read.value, outcome
        inputs = Inputs()
        for name in looked_at(world):
            inputs.look_by(name, lambda name=name: current(name))  # type: ignore[misc]
        value = " ".join(f"{name}={world[name]}" for name in looked_at(world))
        steps = way.lead_to(inputs)
        if not inputs.refusals:
            self.stored.update(steps)
            self.stored[way.key] = value
        return value, outcome


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setattr(trail, "look_once", shelf.look)
    monkeypatch.setattr(trail, "steps", {})
    return shelf


def staff_looks_further(world: Mapping[str, str]) -> list[str]:
    return ["user", "columns"] if world["user"] == "staff" else ["user"]


def test_what_was_looked_at_is_found_by_the_same_values_in_one_look(shelf: Shelf) -> None:
    world = {"user": "anna", "columns": "1"}
    assert shelf.get(world, staff_looks_further)[1] == "misses"
    shelf.looks = 0
    assert shelf.get(world, staff_looks_further) == ("user=anna", "hits")
    assert shelf.looks == 1


@pytest.mark.parametrize("first", ["anna", "staff"])
def test_what_some_look_at_does_not_make_others_vary(shelf: Shelf, first: str) -> None:
    for user in (first, "anna", "staff", "anna"):
        shelf.get({"user": user, "columns": "1"}, staff_looks_further)
    assert shelf.get({"user": "anna", "columns": "2"}, staff_looks_further)[1] == "hits"
    assert shelf.get({"user": "staff", "columns": "2"}, staff_looks_further)[1] == "misses"


def test_who_knows_nothing_finds_it_step_by_step(shelf: Shelf) -> None:
    worlds = [{"user": user, "columns": column} for user in ("anna", "staff") for column in "12"]
    for world in worlds * 2:
        shelf.get(world, staff_looks_further)
    for world in worlds:
        trail.steps.clear()
        assert shelf.get(world, staff_looks_further)[1] == "hits"


def test_who_remembers_what_is_no_longer_so_learns_it(shelf: Shelf) -> None:
    staff, anna = {"user": "staff", "columns": "1"}, {"user": "anna", "columns": "1"}
    shelf.get(staff, staff_looks_further)
    old = dict(trail.steps)
    shelf.get(anna, staff_looks_further)
    trail.steps.clear()
    trail.steps.update(old)  # Another process, which has not met anna.
    assert shelf.get({**anna, "columns": "2"}, staff_looks_further)[1] == "hits"


def test_any_step_may_be_lost(shelf: Shelf) -> None:
    world = {"user": "staff", "columns": "1"}
    shelf.get(world, staff_looks_further)
    for key in [key for key, value in shelf.stored.items() if isinstance(value, Step)]:
        del shelf.stored[key]
        trail.steps.clear()
        assert shelf.get(world, staff_looks_further)[1] == "misses"
        trail.steps.clear()
        assert shelf.get(world, staff_looks_further)[1] == "hits"


def test_what_nobody_can_tell_is_not_stored(shelf: Shelf) -> None:
    shelf.get({"user": "anna", "columns": "1"}, staff_looks_further)
    for _ in range(2):
        found = shelf.get({"user": "opaque", "columns": "1"}, staff_looks_further)
        assert found == ("user=opaque", "misses")


def test_a_chain_has_an_end(shelf: Shelf) -> None:
    names = "abcdefgh"

    def each_by_the_one_before(world: Mapping[str, str]) -> list[str]:
        """Look at the next as long as one is 1."""
        found = []
        for name in names:
            found.append(name)
            if world[name] == "0":
                break
        return found

    worlds = [dict(zip(names, values, strict=True)) for values in product("01", repeat=len(names))]
    for world in worlds * 3:
        value, _ = shelf.get(world, each_by_the_one_before)
        assert value == " ".join(f"{n}={world[n]}" for n in each_by_the_one_before(world))
    for world in worlds:
        assert shelf.get(world, each_by_the_one_before)[1] == "hits"
    trail.steps.clear()
    shelf.looks = 0
    shelf.get(worlds[-1], each_by_the_one_before)
    assert shelf.looks <= LONGEST + 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_looked_at_the_value_is_that_of_the_world(shelf: Shelf, seed: int) -> None:
    choose = random.Random(seed)
    names = "abcd"
    order = {value: choose.sample(names, choose.randint(0, 4)) for value in "01"}

    def by_the_first(world: Mapping[str, str]) -> list[str]:
        return ["a", *order[world["a"]]]

    for _ in range(200):
        world = {name: choose.choice("01") for name in names}
        if choose.random() < 0.1:
            trail.steps.clear()
        if shelf.stored and choose.random() < 0.1:
            del shelf.stored[choose.choice(sorted(shelf.stored))]
        value, _ = shelf.get(world, by_the_first)
        assert value == " ".join(f"{name}={world[name]}" for name in by_the_first(world))
