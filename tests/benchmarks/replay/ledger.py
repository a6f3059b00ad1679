"""Which entries are dropped by which writes, and whether they are filled with the same again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from cache_invalidation.reads.kept_calls import unwrap
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import NAMESPACE, Filling

#: What leads to an entry, and is none.
STEP = b"\x00ci step"


@dataclass
class Tally:
    """How many entries were dropped, how many of them asked for again, and refilled as equal."""

    dropped: int = 0
    refilled: int = 0
    equal: int = 0

    @property
    def share(self) -> float:
        """Percent of those that were refilled that were dropped for nothing."""
        return 100 * self.equal / self.refilled if self.refilled else 0.0


@dataclass
class Kept:
    """An entry as it was stored; `dropped_by` is by which kind of write, and by which tag."""

    name: str
    payload: bytes
    versions: dict[str, str]
    dropped_by: tuple[str, str] | None = None


@dataclass
class Ledger:
    """What became of the entries of `store`, in all, by name, by kind of write and by cause."""

    store: Store
    all: Tally = field(default_factory=Tally)
    by_name: dict[str, Tally] = field(default_factory=dict)
    by_write: dict[str, Tally] = field(default_factory=dict)
    #: Of those that were refilled as equal: name, kind of write and tag.
    causes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    entries: dict[str, Kept] = field(default_factory=dict)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Take note, in the block, of what is stored."""
        fill = type(self.store).fill

        def noted(store: Any, filling: Filling) -> bool:
            is_stored = fill(store, filling)
            if is_stored and not filling.payload.startswith(STEP):
                self._stored(filling)
            return is_stored

        with patch.object(type(self.store), "fill", noted):
            yield

    def written(self, kind: str) -> None:
        """Take note of what a write of that kind has dropped."""
        standing = [kept for kept in self.entries.values() if kept.dropped_by is None]
        tags = sorted({tag for kept in standing for tag in kept.versions})
        now = self.store.versions(tags) if tags else {}
        for kept in standing:
            changed = [tag for tag, version in kept.versions.items() if now[tag] != version]
            if changed:
                kept.dropped_by = kind, min(changed, key=len)
                for tally in self._tallies(kept):
                    tally.dropped += 1

    def _stored(self, filling: Filling) -> None:
        name = _name(filling.entry)
        before = self.entries.get(filling.entry)
        if before is not None and before.dropped_by is not None:
            is_equal = self._is_equal(before.payload, filling.payload)
            for tally in self._tallies(before):
                tally.refilled += 1
                tally.equal += is_equal
            if is_equal:
                self.causes[name, *before.dropped_by] += 1
        versions = {tag: str(version) for tag, version in filling.versions.items()}
        self.entries[filling.entry] = Kept(name, filling.payload, versions)

    def _tallies(self, kept: Kept) -> list[Tally]:
        assert kept.dropped_by is not None
        kind, _ = kept.dropped_by
        return [
            self.all,
            self.by_name.setdefault(kept.name, Tally()),
            self.by_write.setdefault(kind, Tally()),
        ]

    def _is_equal(self, one: bytes, other: bytes) -> bool:
        if one == other:
            return True
        try:
            return bool(self.store.decode(unwrap(one)) == self.store.decode(unwrap(other)))
        except ValueError:  # Pages and blocks are kept in ways of their own, and compared as bytes.
            return False


def _name(place: str) -> str:
    """Return the name of the function, the view or the template whose entry is at that place."""
    _, _, name = place.partition(f"{NAMESPACE}e:")
    return name.rpartition(":")[0] or name
