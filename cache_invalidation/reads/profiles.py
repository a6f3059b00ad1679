"""Which cached functions a block of code asks for, as learned from the times it was run before.

Each process learns for itself: two runs are enough, which is less than it would take to agree.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import date
from typing import Any, Final, NamedTuple
from uuid import UUID
from weakref import ref

from cache_invalidation.observing.watcher import unrecorded
from cache_invalidation.reads.read import Read
from cache_invalidation.stores import get_store

PROFILES: Final = 500  # blocks that something is known of
CALLS: Final = 50  # of each of them
BYTES: Final = 1 << 20  # of values that are fetched at once
LONGEST: Final = 100  # characters of a text, or bits of a number, among arguments

# A call that was found in the cache counts one more, up to the MOST; one that was not asked for, or
# not found, one less. With 0 it is forgotten.
ENOUGH: Final = 2
MOST: Final = 3

# Of those types equal values are spelled alike in a key.
_PLAIN: Final = frozenset({int, str, bool, type(None), UUID, date})
# Values of these say for what the block is run; one of the others would be the same by chance.
_TELLING: Final = frozenset({int, str, UUID, date})

Given = Mapping[str, Any]  # what the block is run for, by name
Spelled = str | tuple[type, Any]  # the name of what is given, or a value


class Call(NamedTuple):
    """A call of a cached function; what is given stands in it by its name."""

    function: ref[Any]
    args: tuple[Spelled, ...]
    kwargs: tuple[tuple[str, Spelled], ...]

    def read(self, given: Given) -> Read | None:
        """Return the read that it would be now; None if it cannot be made."""
        function = self.function()
        if function is None:
            return None
        try:
            args = tuple(_meant(each, given) for each in self.args)
            kwargs = {name: _meant(each, given) for name, each in self.kwargs}
            with unrecorded() if function.varying.names else nullcontext():
                read: Read = function._read(args, kwargs)
            read.entry = get_store().entry_place(read.key)
        except Exception:  # noqa: BLE001 - such as that nobody is served whom it varies on
            return None
        return read


def _meant(spelled: Spelled, given: Given) -> Any:
    return given[spelled] if isinstance(spelled, str) else spelled[1]


class Names:
    """Spells calls by what is given."""

    def __init__(self, given: Given) -> None:
        told = {n: value for n, value in given.items() if type(value) in _TELLING and value != ""}
        self.given = told
        self._names = {(type(value), value): name for name, value in reversed(told.items())}

    def spell(self, function: Any, args: tuple[Any, ...], kwargs: Given) -> Call | None:
        """Return the call as it can be remembered; None if it cannot be.

        Whatever it takes is gone through, so that nothing big or mutable is kept, and no code of
        the project is run for a call that may not be made.
        """
        if function.tags.callables or not all(map(_is_kept, (*args, *kwargs.values()))):
            return None
        named = tuple((name, self._spelled(value)) for name, value in sorted(kwargs.items()))
        return Call(ref(function), tuple(map(self._spelled, args)), named)

    def _spelled(self, value: Any) -> Spelled:
        found = type(value), value
        return self._names.get(found, found)


def _is_kept(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= LONGEST
    return kind in _PLAIN and (kind is not int or value.bit_length() <= LONGEST)


class _Known(NamedTuple):
    score: int
    size: int


_UNKNOWN: Final = _Known(0, 0)


class Profile:
    """What is known of one block."""

    def __init__(self) -> None:
        self._known: dict[Call, _Known] = {}

    def wanted(self) -> Iterator[Call]:
        """Yield the calls that are worth fetching."""
        left = BYTES
        for call, known in self._known.items():
            if known.score >= ENOUGH and known.size <= left:
                left -= known.size
                yield call

    def learn(self, asked: dict[Call, int | None]) -> None:
        """Take in what was `asked` for in one run: how big it was, None if it was not cached."""
        before = self._known
        known: dict[Call, _Known] = {}
        for call in {**before, **asked}:
            score, size = before.get(call, _UNKNOWN)
            if (found := asked.get(call)) is None:
                score -= 1
            else:
                score, size = min(score + 1, MOST), found
            if score > 0 and len(known) < CALLS:
                known[call] = _Known(score, size)
        self._known = known  # Another thread may have done the same; either is good enough.


_profiles: dict[str, Profile] = {}


def profile_of(name: str) -> Profile:
    """Return what is known of the block with this name."""
    found = _profiles.get(name)
    if found is None:
        if len(_profiles) >= PROFILES:
            _profiles.clear()
        found = _profiles[name] = Profile()
    return found


def forget() -> None:
    """Know nothing, as a process that has just begun."""
    _profiles.clear()
