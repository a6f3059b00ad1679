"""Every interleaving of two writers and two readers, against the real code of a store.

A writer drops a tag, or the entry by its name. A world is what stands in the store, the number that
the database has committed, and where each actor is. From each world every actor that can take a
step does; worlds that differ in nothing but the names of their random tokens, or in which of two
alike actors is which, are the same world. A writer may crash after any step, and the fence of a
crashed writer may lapse at any time after that. The fence of a live one does not: a writer that is
frozen for longer than the fence and then killed is what is not promised. Under a lag of replicas, a
fence may lapse at any time after the delivery.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Literal, Protocol

from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery, Filling, Versions, is_fence

TAGS = ("*", "number")
TAG = "number"
ENTRY = "page"
MARK = "mark"

Raw = dict[str, Any]
Drops = Literal["tag", "entry"]


class Shelf(Protocol):
    """Raw access to what a store has under the names of one entry, its mark and its versions."""

    def load(self) -> Raw: ...
    def restore(self, raw: Raw) -> None: ...
    def lapse(self, raw: Raw, writer: str) -> Raw: ...


@dataclass(frozen=True)
class Writer:
    name: str
    drops: Drops
    at: str = "start"  # start, fenced, committed, done, crashed, lapsed


@dataclass(frozen=True)
class Reader:
    at: str = "start"  # start, missing, sampled, queried, done
    versions: tuple[tuple[str, str | None], ...] = ()
    mark: str = ""
    number: int = -1


@dataclass(frozen=True)
class World:
    raw: tuple[tuple[str, Any], ...]
    number: int
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]
    # What the entry was stored under, since its digest cannot be compared between worlds.
    stored: tuple[Any, ...] = ()

    def identity(self) -> str:
        """Return the same text for worlds that differ only in random tokens, or in who is who."""
        return min(
            self._spelled(writers, readers)
            for writers in permutations(self.writers)
            for readers in permutations(self.readers)
        )

    def _spelled(self, writers: tuple[Writer, ...], readers: tuple[Reader, ...]) -> str:
        visible = [(n, v) for n, v in self.raw if n != ENTRY or not self.stored]
        text = repr((visible, self.number, writers, readers, self.stored))
        names: dict[str, str] = {}
        return re.sub(
            r"(?<![\w-])[\w-]{11}(?![\w-])|@\d+",
            lambda match: (
                names.setdefault(match[0], f"<{len(names)}>") if match[0][0] != "@" else "@"
            ),
            text,
        )


@dataclass
class Explorer:
    """Walks through all worlds that can be reached; raises `AssertionError` for a stale hit."""

    store: Store
    shelf: Shelf
    lags: bool = False
    worlds: int = 0

    def run(self, writers: tuple[Drops, ...] = ("tag", "tag"), readers: int = 2) -> int:
        """Explore everything; return the number of worlds."""
        self.shelf.restore({})
        first = World(
            raw=(),
            number=0,
            writers=tuple(
                Writer(f"writer{number}aaaa", drops) for number, drops in enumerate(writers)
            ),
            readers=(Reader(),) * readers,
        )
        seen, queue = {first.identity()}, [first]
        while queue:
            world, is_last = queue.pop(), True
            self.worlds += 1
            for successor in self.successors(world):
                is_last = False
                if (identity := successor.identity()) not in seen:
                    seen.add(identity)
                    queue.append(successor)
                    self.probe(successor)
            if is_last:
                self.check_usable(world)
        return self.worlds

    def probe(self, world: World) -> None:
        """Whoever hits now, the store being as the last step left it, gets what is committed."""
        found = self.store.lookup(ENTRY, TAGS)
        if found.entry is not None and found.entry.is_valid(found.versions):
            number = self.store.decode(found.entry.payload)
            assert number == world.number, f"stale {number} != {world.number} in {world}"

    def check_usable(self, world: World) -> None:
        """Once nobody does anything any more, the tag can be cached under again."""
        self.shelf.restore(dict(world.raw))
        found = self.store.lookup(ENTRY, TAGS)
        versions = self.store.mint([t for t, v in found.versions.items() if v is None], 60)
        versions = {tag: found.versions[tag] or versions[tag] for tag in TAGS}
        assert not any(map(is_fence, versions.values())), f"fenced for ever: {world}"
        payload = self.store.encode(world.number)
        assert self.store.fill(
            Filling(entry=ENTRY, payload=payload, versions=versions, mark=found.mark, timeout=60)
        ), world

    def successors(self, world: World) -> Iterator[World]:
        for index, writer in enumerate(world.writers):
            for at, step in self.steps_of_writer(writer):
                self.shelf.restore(dict(world.raw))
                number = world.number + step(writer)
                writers = _with(world.writers, index, replace(writer, at=at))
                yield self.after(replace(world, number=number, writers=writers))
        for index, reader in enumerate(world.readers):
            if reader.at != "done":
                self.shelf.restore(dict(world.raw))
                moved, stored = self.step_of_reader(reader, world)
                yield self.after(
                    replace(world, readers=_with(world.readers, index, moved), stored=stored)
                )

    def after(self, world: World) -> World:
        raw = self.shelf.load()
        found = self.store.lookup(ENTRY, ()).entry
        stored = world.stored if found else ()
        return replace(world, raw=tuple(sorted(raw.items())), stored=stored)

    def steps_of_writer(self, writer: Writer) -> Iterator[tuple[str, Callable[[Writer], int]]]:
        """Yield what the writer can do next, and where it is then. A COMMIT counts one up."""
        match writer.at:
            case "start":
                yield "fenced", self.fence
            case "fenced":
                yield "committed", lambda _: 1
                yield "crashed", lambda _: 0
            case "committed":
                yield "done", self.deliver
                yield "crashed", lambda _: 0
            case "done" if self.lags:
                yield "lapsed", self.lapse
            case "crashed":
                yield "lapsed", self.lapse

    def fence(self, writer: Writer) -> int:
        self.store.fence(*_dropped(writer), writer.name)
        return 0

    def deliver(self, writer: Writer) -> int:
        tags, entries = _dropped(writer)
        self.store.deliver(Delivery(token=writer.name, tags=tags, entries=entries))
        return 0

    def lapse(self, writer: Writer) -> int:
        self.shelf.restore(self.shelf.lapse(self.shelf.load(), writer.name))
        return 0

    def step_of_reader(self, reader: Reader, world: World) -> tuple[Reader, tuple[Any, ...]]:
        match reader.at:
            case "start":
                return self.look(reader), world.stored
            case "missing":
                return self.mint(reader), world.stored
            case "sampled":
                return replace(reader, at="queried", number=world.number), world.stored
        versions = dict(reader.versions)
        payload = self.store.encode(reader.number)
        filled = self.store.fill(
            Filling(entry=ENTRY, payload=payload, versions=versions, mark=reader.mark, timeout=60)
        )
        stored = (reader.number, reader.versions, reader.mark)
        return Reader(at="done"), stored if filled else world.stored

    def look(self, reader: Reader) -> Reader:
        found = self.store.lookup(ENTRY, TAGS)
        if found.entry is not None and found.entry.is_valid(found.versions):
            return Reader(at="done")  # Whether it was stale is what `probe` asks everywhere.
        if found.entry_fenced:
            return Reader(at="done")  # Computes and does not store.
        return self.sampled(replace(reader, mark=found.mark), found.versions)

    def mint(self, reader: Reader) -> Reader:
        versions = dict(reader.versions)
        minted = self.store.mint([tag for tag, v in versions.items() if v is None], 60)
        return self.sampled(reader, versions | dict(minted))

    def sampled(self, reader: Reader, versions: Versions) -> Reader:
        if any(map(is_fence, versions.values())):
            return Reader(at="done")  # Computes and does not store.
        at = "missing" if None in versions.values() else "sampled"
        return replace(reader, at=at, versions=tuple(versions.items()))


def _dropped(writer: Writer) -> tuple[list[str], list[str]]:
    return ([TAG], []) if writer.drops == "tag" else ([], [ENTRY])


def _with(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])
