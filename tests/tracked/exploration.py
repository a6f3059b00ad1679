"""Every interleaving of writers and units of work that have read before they asked for a key.

A unit begins, reads the number without asking the store for anything, looks for the entry, and sets
what it has read. The versions that go with it are those which its process had seen before the unit
began. Somebody else in the process may see what stands in the store at any time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cache_invalidation.stores.messages import Versions, is_fence
from tests.consistency.exploration import MARK, TAGS, Explorer, Reader, World, _with

Seen = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Unit(Reader):
    # What this process had last seen of each tag when the unit began; and now.
    began_with: Seen = ()
    sees: Seen = ()


class UnitExplorer(Explorer):
    """`forgotten` is left out of the rule, to see that the exploration finds it."""

    forgotten = ""

    def step_of_reader(self, reader: Any, index: int, world: World) -> Iterator[World]:
        stored, raw = world.stored, world.raw
        unit = reader if isinstance(reader, Unit) else Unit()
        match unit.at:
            case "start":
                yield self.glimpse(unit, index, world)
                moved = replace(unit, at="begun", began_with=unit.sees)
            case "begun":
                yield self.glimpse(unit, index, world)
                moved = replace(unit, at="read", number=world.number)
            case "read":
                moved = self.look_for(unit, self.find(raw))
            case "missing":
                missing = [tag for tag, version in unit.versions if version is None]
                minted, raw = self.take(
                    raw, f"mint {missing}", partial(self.store.mint, missing, 60)
                )
                moved = self.sampled_by(unit, dict(unit.versions) | dict(minted))
            case _:
                moved = Unit(at="done")
                if self.may_set(unit):
                    filled, raw = self.take(raw, f"fill {unit}", partial(self.fill, unit))
                    stored = (unit.number, unit.versions, unit.mark) if filled else stored
        readers = _with(world.readers, index, moved)
        yield self.after(replace(world, readers=readers, stored=stored), raw)

    def glimpse(self, unit: Unit, index: int, world: World) -> World:
        """Have somebody else in the process see what stands."""
        versions, raw = self.take(world.raw, "glimpse", self.look_and_mint)
        moved = replace(unit, sees=_seen(unit.sees, versions))
        return self.after(replace(world, readers=_with(world.readers, index, moved)), raw)

    def look_and_mint(self) -> Versions:
        looked = self.store.lookup(self.place, TAGS)
        missing = [tag for tag, version in looked.versions.items() if version is None]
        minted = self.store.mint(missing, 60) if missing else {}
        # One that stands beside a fence is not there for good.
        mark = looked.mark if looked.mark and not looked.entry_fenced else None
        return {**looked.versions, **minted, MARK: mark}

    def look_for(self, unit: Unit, found: Any) -> Unit:
        if found.entry_fenced or (found.entry and found.entry.is_valid(found.versions)):
            return Unit(at="done")
        return self.sampled_by(replace(unit, mark=found.mark), found.versions)

    def sampled_by(self, unit: Unit, versions: Versions) -> Unit:
        if any(map(is_fence, versions.values())):
            return Unit(at="done")
        at = "missing" if None in versions.values() else "sampled"
        return replace(unit, at=at, versions=tuple(versions.items()))

    def may_set(self, unit: Unit) -> bool:
        """Whether what stood when the entry was looked for had been seen before the unit began."""
        began_with = dict(unit.began_with)
        versions = all(began_with.get(tag) == version for tag, version in unit.versions)
        mark = unit.mark in ("", began_with.get(MARK))
        return (versions or self.forgotten == "versions") and (mark or self.forgotten == "mark")


def _seen(before: Seen, versions: Versions) -> Seen:
    known = dict(before)
    known.update({tag: v for tag, v in versions.items() if v is not None and not is_fence(v)})
    return tuple(sorted(known.items()))
