"""Every interleaving of writers and of readers that learn from a query which row they read.

It samples the version of the table, queries, samples that of the row, and stores under the latter
on condition that the former stands. Three writers: one that fences, commits and delivers; one that
commits and delivers later, as from the outbox; one that drops the row alone, by hand, after a write
that nobody saw. On a cluster each of the keys is on a node of its own, and changes by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from unittest import mock

from cache_invalidation.stores.messages import Delivery, Filling, is_fence
from cache_invalidation.tags import with_rows_alone
from tests.consistency.exploration import Content, Explorer

ROW = "shop.author:1"
TABLE = "shop.author"
CONDITIONS = (TABLE, f"{TABLE}:%")
TAGS = (ROW, *CONDITIONS)

Kind = Literal["fencing", "late", "by hand"]


@dataclass(frozen=True)
class Writer:
    name: str
    kind: Kind
    at: str = "start"  # start, fenced, committed, lifting, done, crashed, lapsed
    left: frozenset[str] = frozenset()  # keys that are still to be fenced or lifted, on a cluster
    number: int = 0  # what it has committed

    @property
    def tags(self) -> tuple[str, ...]:
        return (ROW,) if self.kind == "by hand" else (TABLE, ROW)


@dataclass(frozen=True)
class Reader:
    at: str = "start"  # start, sampled, queried, found, done
    conditions: tuple[tuple[str, str | None], ...] = ()
    versions: tuple[tuple[str, str | None], ...] = ()
    number: int = -1


@dataclass(frozen=True)
class World:
    raw: Content
    number: int  # what the database has
    least: int  # what nobody may find any more is less than that
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]
    stored: tuple[Any, ...] = ()

    def identity(self) -> str:
        """Return the same text for worlds that differ in random tokens only."""
        visible = [(n, v) for n, v in self.raw if n != "page" or not self.stored]
        rest = self.number, self.least, self.writers, sorted(map(repr, self.readers)), self.stored
        names: dict[str, str] = {}
        return re.sub(
            r"(?<![\w-])[\w-]{11}(?![\w-])|@\d+",
            lambda m: names.setdefault(m[0], f"<{len(names)}>") if m[0][0] != "@" else "@",
            repr((visible, *rest)),
        )


@dataclass
class JoinedExplorer(Explorer):
    tags: tuple[str, ...] = TAGS
    is_cluster: bool = False
    # Whether a writer that has not fenced does so before it lifts: see `RedisClusterStore.deliver`.
    fences_late: bool = True
    conditions: tuple[str, ...] = CONDITIONS
    _seen: set[str] = field(default_factory=set)

    def explore(self, kinds: tuple[Kind, ...], readers: int = 2) -> int:
        """Explore everything; return the number of worlds."""
        writers = tuple(Writer(f"writer{n}aaaa", kind) for n, kind in enumerate(kinds))
        first = World((), 0, 0, writers, (Reader(),) * readers)
        queue = [first]
        while queue:
            world = queue.pop()
            self.worlds += 1
            for moved in self.next_to(world):
                identity = moved.identity()
                if identity not in self._seen:
                    self._seen.add(identity)
                    queue.append(moved)
                    self.look_for_stale(moved)
        return self.worlds

    def look_for_stale(self, world: World) -> None:
        found = self.find(world.raw)
        valid = {tag: found.versions[tag] for tag in (ROW,)}
        if found.entry is not None and found.entry.is_valid(valid):
            number = self.store.decode(found.entry.payload)
            assert number >= world.least, f"stale {number} < {world.least} in {world}"

    def next_to(self, world: World) -> Iterator[World]:
        for index, writer in enumerate(world.writers):
            for moved, name, step in self.moves(writer):
                raw = world.raw
                if step is not None:
                    raw = self.take(raw, f"{name} {writer}", step)[1]
                number, least = world.number, world.least
                if moved.at == "committed" and writer.at in ("start", "fenced"):
                    number += 1
                    moved = replace(moved, number=number)
                    least = number if writer.kind == "fencing" else least
                if moved.at == "done":
                    least = max(least, moved.number)
                writers = (*world.writers[:index], moved, *world.writers[index + 1 :])
                stored = world.stored if self.find(raw).entry else ()
                yield World(raw, number, least, writers, world.readers, stored)
        for index, reader in enumerate(world.readers):
            if reader.at != "done":
                moved_reader, raw, filled = self.step(reader, world)
                stored = (moved_reader.number, reader.versions) if filled else world.stored
                readers = (*world.readers[:index], moved_reader, *world.readers[index + 1 :])
                stored = stored if self.find(raw).entry else ()
                yield replace(world, raw=raw, readers=readers, stored=stored)

    def moves(self, writer: Writer) -> Iterator[tuple[Writer, str, Callable[[], Any] | None]]:
        """Yield what the writer is next, and what it does to the store on its way there."""
        keys = frozenset(with_rows_alone(writer.tags))
        fence = partial(self.store.fence, writer.tags, [], writer.name)
        lift = partial(self.store.deliver, Delivery(token=writer.name, tags=writer.tags))
        is_fencing = writer.kind == "fencing"
        at = writer.at
        if at == "start" and is_fencing:
            yield from self.one_by_one(replace(writer, at="fencing", left=keys), "fenced", fence)
        elif at == "fencing":
            yield from self.one_by_one(writer, "fenced", fence)
        elif at in ("start", "fenced"):
            yield replace(writer, at="committed"), "", None
        elif at == "committed" and self.is_cluster and not is_fencing and self.fences_late:
            yield from self.one_by_one(replace(writer, at="late", left=keys), "standing", fence)
        elif at == "late":
            yield from self.one_by_one(writer, "standing", fence)
        elif at in ("committed", "standing"):
            yield from self.one_by_one(replace(writer, at="lifting", left=keys), "done", lift)
        elif at == "lifting":
            yield from self.one_by_one(writer, "done", lift)
        elif at == "crashed":
            yield replace(writer, at="lapsed"), "lapse", partial(self.let_lapse, writer)
        if is_fencing and at in ("fenced", "committed"):
            yield replace(writer, at="crashed"), "", None

    def one_by_one(
        self, writer: Writer, then: str, whole: Callable[[], Any]
    ) -> Iterator[tuple[Writer, str, Callable[[], Any] | None]]:
        """Yield the steps that are left: one, or on a cluster one of the keys, in any order."""
        if not self.is_cluster:
            yield replace(writer, at=then, left=frozenset()), then, whole
            return
        for key in sorted(writer.left):
            left = writer.left - {key}
            moved = replace(writer, at=writer.at if left else then, left=left)
            yield moved, f"{writer.at} {key}", partial(self.change, writer, key)

    def change(self, writer: Writer, key: str) -> None:
        """Do to one key what the writer does to all of them."""
        with mock.patch("cache_invalidation.stores.redis.store.with_rows_alone", list):
            if writer.at == "lifting":
                self.store.deliver(Delivery(token=writer.name, tags=[key]))
            else:
                self.store.fence([key], [], writer.name)

    def let_lapse(self, writer: Writer) -> None:
        self.shelf.restore(self.shelf.lapse(self.shelf.load(), writer.name))

    def step(self, reader: Reader, world: World) -> tuple[Reader, Content, bool]:
        raw = world.raw
        match reader.at:
            case "start":
                return self.sample(reader, world, self.conditions)
            case "sampled":
                return replace(reader, at="queried", number=world.number), raw, False
            case "queried":
                return self.sample(reader, world, (ROW,))
        filled, raw = self.take(raw, f"fill {reader}", partial(self.store_it, reader))
        return Reader(at="done", number=reader.number), raw, bool(filled)

    def sample(
        self, reader: Reader, world: World, tags: tuple[str, ...]
    ) -> tuple[Reader, Content, bool]:
        # What is minted in another world has another name, or a version would come back.
        mint = partial(self.store.mint, list(tags), 60)
        minted, raw = self.take(world.raw, f"mint {tags} {world}", mint)
        if any(map(is_fence, minted.values())):
            return Reader(at="done"), raw, False  # Computes and does not store.
        versions = tuple(minted.items())
        if tags == (ROW,):
            return replace(reader, at="found", versions=versions), raw, False
        return replace(reader, at="sampled", conditions=versions), raw, False

    def store_it(self, reader: Reader) -> bool:
        return self.store.fill(
            Filling(
                entry=self.place,
                payload=self.store.encode(reader.number),
                versions=dict(reader.versions),
                conditions=dict(reader.conditions),
                timeout=60,
            )
        )
