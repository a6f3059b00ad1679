"""What readers find in Redis: entries, versions and marks, as of one moment."""

from collections.abc import Sequence
from typing import Any

from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import (
    VERSION_GRACE,
    Found,
    Version,
    Versions,
    is_fence,
    new_token,
)
from cache_invalidation.stores.near.registrar import Held
from cache_invalidation.stores.redis.conversing import Command, unrefused
from cache_invalidation.stores.redis.counters import ERRORS
from cache_invalidation.stores.redis.entries import KINDS, unpack
from cache_invalidation.stores.redis.near import RedisNear
from cache_invalidation.stores.redis.scripts import ms, script
from cache_invalidation.tags import ROOT


class RedisReading(RedisNear):
    """That part of a store."""

    _versions: str

    # May a script use keys that it was not told of?
    _scripts_find_keys = True

    @guarded(*ERRORS)
    def lookup(
        self, entry: str, tags: Sequence[str], *, with_further: bool = False, head: int = 0
    ) -> Found:
        if (with_further or head) and self._scripts_find_keys:
            # Slower than MGET, and faster than a second round trip.
            look = script("lookup", self._names(entry, tags), self._versions, head)
            (answer,), identity = self._servers.look((look,))
            return self._held(tags, answer, identity).found
        (raw, marked, *found), identity = self._values(self._names(entry, tags))
        return self._found(raw, _text(marked) or "", self._by_tag(tags, found, identity))

    def _names(self, entry: str, tags: Sequence[str]) -> list[str]:
        """Return under which names there are an entry, its mark and the versions of `tags`."""
        above = self._versions  # As in `version_key`.
        return [entry, self._mark_key(entry), *[above + tag for tag in tags]]

    def _by_tag(
        self, tags: Sequence[str], found: Sequence[bytes | None], identity: str
    ) -> dict[str, Version]:
        """Return, by tag, the versions that the server of this `identity` has returned."""
        pairs = zip(tags, found, strict=True)
        return self._valid(
            {tag: raw if raw is None else raw.decode("utf-8", "replace") for tag, raw in pairs},
            identity,
        )

    def hold(self, entry: str, tags: Sequence[str], holder: str) -> Held:
        return self.hold_all([(entry, tags)], holder)[0]

    @guarded(*ERRORS)
    def hold_all(self, wanted: Sequence[tuple[str, Sequence[str]]], holder: str) -> list[Held]:
        about = self._versions, 0, self._near, holder
        looks = [script("hold", self._names(entry, tags), *about) for entry, tags in wanted]
        answers, identity = self._servers.look(looks)
        return [
            self._held(tags, answer, identity)
            for (_, tags), answer in zip(wanted, answers, strict=True)
        ]

    @guarded(*ERRORS)
    def look_again(self, entry: str, seal: bytes, tags: Sequence[str]) -> Found | None:
        names = self._names(entry, tags)[1:]
        # In this order: what is dropped between the two shows in the second.
        head = ("GETRANGE", entry, 1, len(seal))
        (found, *values), identity = self._servers.look((head, *self._getting(names)))
        if found != seal:
            return None
        marked, *there = [value for some in values for value in some]
        return Found(None, self._by_tag(tags, there, identity), _text(marked) or "")

    def _getting(self, names: Sequence[str]) -> list[Command]:
        """Return the commands whose answers have what stands under `names`, in lists."""
        return [("MGET", *names)]

    def _held(self, tags: Sequence[str], answer: Any, identity: str) -> Held:
        raw, (marked, *found), further, stamp, lives = answer
        versions = self._by_tag(tags, found, identity)
        seconds = None if lives < 0 else lives / 1000
        if further:
            mark = _text(marked) or ""
            unpacked = unpack(raw, mark)
            if unpacked is not None:
                versions.update(zip(unpacked.further, map(_text, further), strict=True))
            return Held(Found(unpacked, dict(sorted(versions.items())), mark), stamp, seconds)
        return Held(self._found(raw, _text(marked) or "", versions), stamp, seconds)

    @guarded(*ERRORS)
    def lookup_many(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Found]:
        names = [self._names(entry, tags) for entry, tags in wanted]
        asked = list({name: None for each in names for name in each})  # Most have tags in common.
        values, identity = self._values(asked)
        answers, found = dict(zip(asked, values, strict=True)), []
        for (_, tags), each in zip(wanted, names, strict=True):
            raw, marked, *there = map(answers.__getitem__, each)
            versions = self._by_tag(tags, there, identity)
            found.append(self._found(raw, _text(marked) or "", versions))
        return found

    def _found(self, raw: bytes | None, mark: str, versions: Versions) -> Found:
        if raw is None:
            return Found(None, versions, mark)
        if raw and raw[0] in KINDS:
            return Found(unpack(raw, mark), versions, mark)
        if raw[:1] == b"!":
            return Found(None, versions, mark, entry_fenced=True)
        return Found(None, versions, mark, plain=raw)

    @guarded(*ERRORS)
    def versions(self, tags: Sequence[str]) -> Versions:
        found, identity = self._values([self.version_key(tag) for tag in tags])
        return self._by_tag(tags, found, identity)

    def _values(self, names: Sequence[str]) -> tuple[list[bytes | None], str]:
        """Return what stands under `names`, and the identity of the server that says so."""
        (found,), identity = self._servers.look((("MGET", *names),))
        return found, identity

    def _valid(self, versions: dict[str, Version], identity: str) -> dict[str, Version]:
        """Leave out a root version that was minted under another server than that of `identity`."""
        root = versions.get(ROOT)
        if root is None or root.endswith(identity) or is_fence(root):
            return versions
        # An identity can change without the connection being lost. It need not: the root version
        # may have been minted by somebody who knew less.
        if not root.endswith(self._servers.identify(self.version_key(ROOT))):
            versions[ROOT] = None
        return versions

    @guarded(*ERRORS)
    def mint(self, tags: Sequence[str], timeout: float | None) -> Versions:
        lives = () if timeout is None else ("PX", ms(timeout + VERSION_GRACE))
        fresh = {tag: new_token() for tag in tags}
        if ROOT in fresh:
            fresh[ROOT] += self._servers.identity
        commands: list[Command] = [
            ("SET", self.version_key(tag), token, "NX", "GET", *lives)
            for tag, token in fresh.items()
        ]
        found = map(_text, self._answers(commands))
        return {tag: there or fresh[tag] for tag, there in zip(tags, found, strict=True)}

    def _answers(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to all commands; raise the first refusal, once they all are there."""
        return unrefused(self._servers.ask_all(commands))


def _text(raw: bytes | None) -> Version:
    return None if raw is None else raw.decode("utf-8", "replace")
