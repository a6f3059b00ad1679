"""What stores and those who use them hand each other: versions, entries, deliveries, names.

A *version* is a random token under a tag. An *entry* is a value together with the versions that
its tags had before it was computed, and valid only while they all are still the same. A *fence*
stands in the place of a version while a write is in flight: nothing matches it, and nobody stores
under it. A version that is missing matches nothing either, so losing one costs a miss.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from secrets import token_bytes
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from zlib import crc32

from cache_invalidation.stores.near.waiting import NOBODY, Told

# Everything that this package keeps in the project's cache is below this prefix.
NAMESPACE: Final = "ci:"

# A version outlives the entries that use it by this many seconds.
VERSION_GRACE: Final = 10

# For so many seconds after an entry was invalidated by its own name, the mark of that is kept, and
# longer where an entry needs it. A computation that takes longer could store what it began before.
MARK_TIMEOUT: Final = 3600

# So many of the last deliveries are listed, and so many of the last minutes counted apart.
RECENT: Final = 1000
MINUTES: Final = 24 * 60

# Notes on where entries are: so many, of so many bytes each.
NOTES: Final = 1 << 16
NOTE_SIZE: Final = 22

# For each entry, of so many of its last fills it is kept that they were hit, by so many bytes each.
MARKS: Final = 4
MARK_SIZE: Final = 8

# Of so many of the tags of an entry, sorted, it is known which of them were dropped.
TRACED: Final = 250

# Of so many calls it is kept that they are hit often, of those that take so many bytes at most.
CALLS: Final = 1000
CALL_SIZE: Final = 2000

# Hits of the most frequent call, from which on all count half, so that what was long ago fades.
CALLS_FADE: Final = 1000

# Of so many functions, pages and blocks it is kept on what they depend, of each so many tags.
NAMES_FOUND: Final = 5000
TAGS_FOUND: Final = 100

# Begins the names of the entries for keys of the project.
TRACKED: Final = "k:"
_TRACKED: Final = re.compile(rf"{TRACKED}(-?[0-9]+):(.*)", re.DOTALL)

# Is told how many seconds a writer has waited, for how many who have not answered, and until those
# had who kept what has these names.
OnWait = Callable[[float, int, Mapping[str, float]], None]

Version = str | None
Versions = Mapping[str, Version]

# What a mark is about, the mark itself, and for how many seconds it is kept.
Mark = tuple[str, bytes, float]

# On which tags something was found to depend, by its name.
Learned = Mapping[str, Collection[str]]
NOTHING_LEARNED: Final[Learned] = MappingProxyType({})

# What stands on places among the notes: see `metrics.notes`.
Notes = Mapping[int, bytes]
NO_NOTES: Final[Notes] = MappingProxyType({})
NO_COUNTS: Final[Mapping[str, int]] = MappingProxyType({})


def new_token() -> str:
    """Return 64 random bits: a version, or the name of a fence. Never handed out again."""
    return urlsafe_b64encode(token_bytes(8))[:11].decode()


#: Characters of a token.
SALT: Final = 11


def is_fence(version: Version) -> bool:
    """Whether what stands under a tag is a fence."""
    return version is not None and version[:1] == "!"


def seal(versions: Versions, mark: str, salt: str = "") -> bytes:
    """Return the digest of tags, versions, mark and salt that an entry carries; sorted by tag.

    It has 64 bits, like each of the versions; as these are random, nobody can aim at one. What is
    compared with an entry that is out of date is the same as its seal once in 2**64 misses: with a
    million of these a second for a hundred years, the odds are 1 to 6,000 that it ever happens.
    """
    spelled = "\n".join([f"{tag} {version}" for tag, version in versions.items()])
    if mark:
        spelled += f"\n{mark}"
    if salt:
        spelled += f"\n+{salt}"
    return blake2b(spelled.encode(), digest_size=8).digest()


def traces(versions: Versions, nonce: int = 0) -> bytes:
    """Return what tells later which of `versions` have changed, by a byte each, behind the `nonce`.

    One of 256 that were renewed looks as if it had not changed: good enough to count by.
    """
    first = list(versions.values())[:TRACED]
    return bytes([nonce, *(crc32((version or "").encode()) & 255 for version in first)])


class Entry(NamedTuple):  # Made for each hit, and a frozen dataclass takes longer for that.
    """What was found under the name of an entry.

    `further` are the tags it depends on besides those its reader asked for. `payload` is decoded
    by `Store.decode` once the entry has turned out to be valid. `mark` is as in `Found`, `traces`
    is what that function returns, `salt` is as in `Filling`.
    """

    seal: bytes
    further: tuple[str, ...]
    payload: Any
    traces: bytes
    mark: str
    salt: str = ""

    def is_valid(self, versions: Versions) -> bool:
        """Whether the entry was computed under exactly these versions, and under its mark."""
        return self.seal == seal(versions, self.mark, self.salt)

    def changed(self, versions: Versions) -> list[str]:
        """Return the tags whose versions, sorted by tag, are not those it was computed under."""
        now = traces(versions)
        if len(now) != len(self.traces):
            return []  # Its reader names other tags than he did then.
        return [
            tag
            for (tag, version), trace, before in zip(
                versions.items(), now[1:], self.traces[1:], strict=False
            )
            if version is None or is_fence(version) or trace != before
        ]


class Found(NamedTuple):
    """The answer to one lookup, all of it as of one moment.

    `mark` tells apart what was computed before an invalidation of this very entry and after it: a
    version that only invalidations put, "" if there was none. `entry_fenced`: one is in flight.
    `plain` is what is there in the place of an entry, as the cache keeps it: a counter, say.
    """

    entry: Entry | None
    versions: Versions
    mark: str = ""
    entry_fenced: bool = False
    plain: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What is to be stored at the place `entry` for `timeout` seconds, None for ever.

    `payload` is as `encode` returns it.
    `versions` and `mark` are those that were found before it was computed, `versions` sorted by
    tag; `further` as in `Entry`. `conditions` are versions that must stand when it is stored, and
    of which it is independent from then on. Its first hit is counted if `nonce`, a byte, is not 0.
    With a `salt`, of `new_token`, it may take the place of another value under the same versions:
    its seal is like no other, and who keeps near what was there is told in the same step. `on_wait`
    is told if they had to be waited for.
    """

    entry: str
    payload: bytes
    versions: Versions
    further: Sequence[str] = ()
    timeout: float | None = None
    mark: str = ""
    conditions: Versions = field(default_factory=dict)
    nonce: int = 0
    salt: str = ""
    on_wait: OnWait | None = None

    @property
    def seal(self) -> bytes:
        """The seal of the entry."""
        return seal(self.versions, self.mark, self.salt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a store is told once a write is committed; `token` is that of the fence, if any.

    `entries` and `keys` are places, as the store has named them. With `is_fenced`, it stands. It
    has `told` those who hold near what is dropped; they have to answer before the writer goes on.
    `on_wait` is told if that took its time.
    """

    token: str
    tags: Sequence[str] = ()
    entries: Sequence[str] = ()
    keys: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    last: str = ""
    is_fenced: bool = False
    told: Told = NOBODY
    on_wait: OnWait | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the server behind a cache says of itself; nothing if it is down, or there is none.

    `problem` says in half a sentence why it cannot be used. `memory_limit` is in bytes, 0 for none.
    """

    problem: str | None = None
    eviction: str = ""
    memory_limit: int = 0
    is_replica: bool = False


def entry_name(key: str) -> str:
    return f"{NAMESPACE}e:{key}"


def tracked_name(key: str, version: int) -> str:
    """Return the name of the entry for a key of the project."""
    return f"{TRACKED}{version}:{key}"


def tracked_key(entry: str) -> tuple[str, int] | None:
    """Return what `tracked_name` was given; None for the name of another entry."""
    found = _TRACKED.fullmatch(entry)
    return (found[2], int(found[1])) if found else None


# The next three are the same for everybody: what distinguishes entries is the place they are at.


def version_name(tag: str) -> str:
    return f"{NAMESPACE}t:{tag}"


def mark_name(place: str) -> str:
    return f"{NAMESPACE}m:{place}"


def lock_name(place: str) -> str:
    return f"{NAMESPACE}l:{place}"
