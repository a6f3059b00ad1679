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
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations
from typing import Any, Literal, Protocol

from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Delivery, Filling, Found, Versions, is_fence

TAGS = ("*", "number")
TAG = "number"
ENTRY = "page"
MARK = "mark"

Raw = dict[str, Any]
Content = tuple[tuple[str, Any], ...]  # the same, which stays as it is
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
    number: int = 0  # what it has committed


@dataclass(frozen=True)
class Reader:
    at: str = "start"  # start, missing, sampled, queried, done
    versions: tuple[tuple[str, str | None], ...] = ()
    mark: str = ""
    number: int = -1


@dataclass(frozen=True)
class World:
    raw: Content
    number: int
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]
    # What the entry was stored under, since its digest cannot be compared between worlds.
    stored: tuple[Any, ...] = ()
    is_lost: bool = False  # what was in the store, once

    def identity(self) -> str:
        """Return the same text for worlds that differ only in random tokens, or in who is who."""
        return min(
            self._spelled(writers, readers)
            for writers in permutations(self.writers)
            for readers in permutations(self.readers)
        )

    def _spelled(self, writers: tuple[Writer, ...], readers: tuple[Reader, ...]) -> str:
        visible = [(n, v) for n, v in self.raw if n != ENTRY or not self.stored]
        text = repr((visible, self.number, writers, readers, self.stored, self.is_lost))
        names: dict[str, str] = {}
        return re.sub(
            r"(?<![\w-])[\w-]{11}(?![\w-])|@\d+",
            lambda match: (
                names.setdefault(match[0], f"<{len(names)}>") if match[0][0] != "@" else "@"
            ),
            text,
        )


Step = Callable[[Writer], None]


@dataclass
class Explorer:
    """Walks through all worlds that can be reached; raises `AssertionError` for a stale hit.

    The same step on the same content of the store is taken once, since it always ends the same.
    """

    store: Store
    shelf: Shelf
    lags: bool = False
    # Whether the store may lose everything, once, at any time.
    loses: bool = False
    # Where a writer is whose write nobody may miss any more.
    returned: Set[str] = frozenset({"committed", "done", "crashed", "lapsed"})
    tags: tuple[str, ...] = TAGS
    worlds: int = 0
    _stands: str | None = None  # what is in the store, if that is known
    _taken: dict[tuple[str, str], tuple[Any, Content]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the entry is."""
        return self.store.entry_place(ENTRY)

    def dropped(self, writer: Writer) -> tuple[list[str], list[str]]:
        """Return the tags that the writer drops, and the entries."""
        return ([TAG], []) if writer.drops == "tag" else ([], [self.place])

    def run(self, writers: tuple[Drops, ...] = ("tag", "tag"), readers: int = 2) -> int:
        """Explore everything; return the number of worlds."""
        first = World(
            raw=(),
            number=0,
            writers=tuple(
                Writer(f"writer{number}aaaa", drops) for number, drops in enumerate(writers)
            ),
            readers=(Reader(),) * readers,
        )
        met: set[str] = set()  # Cheaper to ask than `seen`, and mostly enough.
        seen, queue = {first.identity()}, [first]
        while queue:
            world, is_last = queue.pop(), True
            self.worlds += 1
            for successor in self.successors(world):
                is_last = False
                if (text := repr(successor)) in met:
                    continue
                met.add(text)
                if (identity := successor.identity()) not in seen:
                    seen.add(identity)
                    queue.append(successor)
                    self.probe(successor)
            if is_last:
                assert self.take(world.raw, "use", self.is_usable)[0], f"fenced for ever: {world}"
        return self.worlds

    def take(self, raw: Content, name: str, step: Callable[[], Any]) -> tuple[Any, Content]:
        """Return what a step returns with `raw` in the store, and what is in there then."""
        before = repr(raw)
        if (before, name) not in self._taken:
            if self._stands != before:
                self.shelf.restore(dict(raw))
            result = step()
            after = tuple(sorted(self.shelf.load().items()))
            self._stands = repr(after)
            self._taken[before, name] = result, after
        return self._taken[before, name]

    def find(self, raw: Content) -> Found:
        """Return what a reader finds."""
        found: Found = self.take(raw, "look", lambda: self.store.lookup(self.place, self.tags))[0]
        return found

    def probe(self, world: World) -> None:
        """Whoever hits now gets what is committed."""
        found = self.find(world.raw)
        if found.entry is not None and found.entry.is_valid(found.versions):
            number = self.store.decode(found.entry.payload)
            newest = max((w.number for w in world.writers if w.at in self.returned), default=0)
            assert number >= newest, f"stale {number} < {newest} in {world}"

    def is_usable(self) -> bool:
        """Whether the tag can be cached under once nobody does anything any more."""
        found = self.store.lookup(self.place, TAGS)
        versions = self.store.mint([t for t, v in found.versions.items() if v is None], 60)
        versions = {tag: found.versions[tag] or versions[tag] for tag in TAGS}
        payload = self.store.encode(0)
        return not any(map(is_fence, versions.values())) and self.store.fill(
            Filling(
                entry=self.place, payload=payload, versions=versions, mark=found.mark, timeout=60
            )
        )

    def successors(self, world: World) -> Iterator[World]:
        for index, writer in enumerate(world.writers):
            for at, step in self.steps_of_writer(writer):
                number = world.number + 1 if at == "committed" else writer.number
                there = replace(writer, at=at, number=number)
                moved = replace(world, writers=_with(world.writers, index, there))
                if at == "committed":
                    yield replace(moved, number=number)
                elif step is None:
                    yield moved
                else:
                    name = f"{at} {writer.name} {writer.drops}"
                    yield self.after(moved, self.take(world.raw, name, partial(step, writer))[1])
        for index, reader in enumerate(world.readers):
            if reader.at != "done":
                yield from self.step_of_reader(reader, index, world)
        if self.loses and not world.is_lost:
            yield replace(world, raw=(), stored=(), is_lost=True)

    def after(self, world: World, raw: Content) -> World:
        """Return the world with `raw` in the store."""
        stored = world.stored if self.find(raw).entry else ()
        return replace(world, raw=raw, stored=stored)

    def steps_of_writer(self, writer: Writer) -> Iterator[tuple[str, Step | None]]:
        """Yield where the writer can be next, and what it does to the store on its way there."""
        match writer.at:
            case "start":
                yield "fenced", self.fence
            case "fenced":
                yield "committed", None
                yield "crashed", None
            case "committed":
                yield "done", self.deliver
                yield "crashed", None
            case "done" if self.lags:
                yield "lapsed", self.lapse
            case "crashed":
                yield "lapsed", self.lapse

    def fence(self, writer: Writer) -> None:
        self.store.fence(*self.dropped(writer), writer.name)

    def deliver(self, writer: Writer) -> None:
        tags, entries = self.dropped(writer)
        self.store.deliver(Delivery(token=writer.name, tags=tags, entries=entries))

    def lapse(self, writer: Writer) -> None:
        self.shelf.restore(self.shelf.lapse(self.shelf.load(), writer.name))

    def step_of_reader(self, reader: Reader, index: int, world: World) -> Iterator[World]:
        stored, raw = world.stored, world.raw
        match reader.at:
            case "start":
                moved = self.look(reader, self.find(raw))
            case "missing":
                missing = [tag for tag, version in reader.versions if version is None]
                mint = partial(self.store.mint, missing, 60)
                # No version comes twice, though the store may be as empty as before.
                minted, raw = self.take(raw, f"mint {missing} {world.is_lost}", mint)
                moved = self.sampled(reader, dict(reader.versions) | dict(minted))
            case "sampled":
                moved = replace(reader, at="queried", number=world.number)
            case _:
                filled, raw = self.take(raw, f"fill {reader}", partial(self.fill, reader))
                moved = Reader(at="done")
                stored = (reader.number, reader.versions, reader.mark) if filled else stored
        readers = _with(world.readers, index, moved)
        yield self.after(replace(world, readers=readers, stored=stored), raw)

    def fill(self, reader: Reader) -> bool:
        return self.store.fill(
            Filling(
                entry=self.place,
                payload=self.store.encode(reader.number),
                versions=dict(reader.versions),
                mark=reader.mark,
                timeout=60,
            )
        )

    def look(self, reader: Reader, found: Found) -> Reader:
        if found.entry is not None and found.entry.is_valid(found.versions):
            return Reader(at="done")  # Whether it was stale is what `probe` asks everywhere.
        if found.entry_fenced:
            return Reader(at="done")  # Computes and does not store.
        return self.sampled(replace(reader, mark=found.mark), found.versions)

    def sampled(self, reader: Reader, versions: Versions) -> Reader:
        if any(map(is_fence, versions.values())):
            return Reader(at="done")  # Computes and does not store.
        at = "missing" if None in versions.values() else "sampled"
        return replace(reader, at=at, versions=tuple(versions.items()))


def _with(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])
