"""Which keys of a cache are tracked: what is kept under them is sealed like all that is cached.

These are the keys that ``OPTIONS["TRACK"]`` matches, and those that a rule names in `keys` or in
`patterns`. A tracked entry depends on one tag for each beginning of its key that ends in a colon,
so that a pattern such as ``product:*`` stands for one tag. What ``OPTIONS["NEAR"]`` matches is kept
in the memory of processes as well.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase, translate
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.cache import caches
from django.utils.module_loading import import_string

from cache_invalidation.conf import settings
from cache_invalidation.tags import escape, shorten

#: Of so many beginnings of a key there is a tag; each is one version more in every lookup.
PREFIXES: Final = 8
#: What OPTIONS of a cache may say of its keys.
OPTIONS: Final = ("TRACK", "BLIND", "NEAR")
KNOWN: Final = 10_000  # keys of which it is remembered what matches them

#: What is never tracked, since it is not made from what was read: sessions, and the throttles of
#: REST framework. Losing one is no miss: somebody is logged out, or a limit does not hold.
NEVER: Final = ("django.contrib.sessions.", "throttle_")

_GLOB: Final = re.compile(r"\\.|[*?\[]")

#: What the rules name, as globs. The app connects it to the registry when it starts.
named_by_rules: list[Callable[[], frozenset[str]]] = []


class Tracking:
    """What is tracked in one cache.

    `track` are globs. `blind` are those among them under which a value may be kept although nobody
    knows where it comes from, `near` those whose values processes may keep in their memory.
    """

    def __init__(
        self, track: Iterable[str], blind: Iterable[str], near: Iterable[str] = ()
    ) -> None:
        self.track = tuple(track)
        self._blind = tuple(blind)
        self.near = tuple(near)
        self._near = _one_of(self.near)
        # All globs, and what matches any of them.
        self._matching: tuple[tuple[str, ...], re.Pattern[str]] = (), _one_of(())
        self._known: dict[str, str | None] = {}
        self._rules: frozenset[str] | None = None

    def glob_of(self, key: str) -> str | None:
        """Return the glob by which `key` is tracked, None if it is not."""
        # Every key comes here, also those that are not tracked.
        if not named_by_rules or named_by_rules[0]() is not self._rules:
            self._match_rules()
        known = self._known
        try:
            return known[key]
        except KeyError:
            return self._look_up(key, known)

    @property
    def globs(self) -> tuple[str, ...]:
        """What is tracked: by `track`, and by the rules that there are now."""
        self._match_rules()
        return self._matching[0]

    def _match_rules(self) -> None:
        rules = named_by_rules[0]() if named_by_rules else frozenset()
        if rules is not self._rules:
            globs = (*self.track, *sorted(rules.difference(self.track)))
            # In this order: what another thread has matched by the rules before is not kept.
            self._matching = globs, _one_of(globs)
            self._known, self._rules = {}, rules

    def _look_up(self, key: str, known: dict[str, str | None]) -> str | None:
        globs, matching = self._matching
        match = None if key.startswith(NEVER) else matching.fullmatch(key)
        found = globs[(match.lastindex or 1) - 1] if match else None
        if len(known) >= KNOWN:
            known.clear()
        known[key] = found
        return found

    def may_be_blind(self, key: str) -> bool:
        """Whether a value may be kept under `key` of which nobody knows what it depends on."""
        return any(fnmatchcase(key, as_fnmatch(glob)) for glob in self._blind)

    def is_near(self, key: str) -> bool:
        """Whether the value of `key`, which is tracked, may be kept in the memory of processes."""
        return bool(self.near) and self._near.fullmatch(key) is not None

    def covers(self, pattern: str) -> bool:
        """Whether all keys that match `pattern` are tracked, and go by a tag of their own."""
        prefix = unescaped(pattern[:-1])
        return is_prefix(pattern) and any(
            glob.endswith("*") and fnmatchcase(prefix, as_fnmatch(glob)) for glob in self.globs
        )

    def globs_of(self, pattern: str) -> tuple[str, ...]:
        """Return the globs that may track a key that matches `pattern`."""
        head = _head(pattern)
        heads = ((glob, _head(glob)) for glob in self.globs)
        return tuple(glob for glob, each in heads if each.startswith(head) or head.startswith(each))

    def tags_of(self, pattern: str) -> frozenset[str]:
        """Return the tag for the tracked keys that match `pattern`; none if there cannot be any.

        If it is no prefix, that is the tag of the longest one that all these keys have.
        """
        if not self.globs_of(pattern):
            return frozenset()
        head = _head(pattern)
        return frozenset({prefix_tag(_at_most(head[: head.rfind(":") + 1]))})


def tracking_of(alias: str) -> Tracking | None:
    """Return what is tracked in the cache `alias`; None if its backend tracks nothing."""
    if not getattr(type(caches[alias]), "tracks_keys", False):
        return None
    options = caches.settings[alias].get("OPTIONS") or {}
    # What is no list of patterns names nothing; a system check says so.
    track, blind, near = (options.get(name, ()) for name in OPTIONS)
    return Tracking(
        track if is_list_of_globs(track) else (),
        ("*",) if blind is True else blind if is_list_of_globs(blind) else (),
        near if is_list_of_globs(near) else (),
    )


def is_list_of_globs(value: Any) -> bool:
    """Whether `value` is a list of patterns for keys."""
    return isinstance(value, list | tuple) and all(isinstance(g, str) and g for g in value)


def is_tracked() -> bool:
    """Whether anything is tracked in the cache of this app; asks without making that cache."""
    try:
        backend = django_settings.CACHES[settings.CACHE]["BACKEND"]
        return bool(getattr(import_string(backend), "tracks_keys", False))
    except Exception:  # noqa: BLE001 - a system check says what is wrong
        return False


def keeps_near() -> bool:
    """Whether values of tracked keys may be kept near; asks without making the cache."""
    if not is_tracked():
        return False
    options = django_settings.CACHES[settings.CACHE].get("OPTIONS") or {}
    globs = options.get("NEAR") if isinstance(options, dict) else None
    return bool(globs) and is_list_of_globs(globs)


def prefix_tags(key: str) -> tuple[str, ...]:
    """Return the tags for the beginnings of `key` that end in a colon.

    Their family, ``keys:*``, stands for the empty one, and so for every tracked key.
    """
    ends = [match.end() for match in re.finditer(":", key)][:PREFIXES]
    return tuple(prefix_tag(key[:end]) for end in ends) or (_EVERY,)


def prefix_tag(prefix: str) -> str:
    """Return the tag for all tracked keys that begin with `prefix`."""
    return shorten(f"keys:{escape(prefix)}") if prefix else _EVERY


_EVERY: Final = "keys:*"


def is_prefix(pattern: str) -> bool:
    """Whether `pattern` is something that ends in a colon, and a star after it, or only a star.

    There is a tag for exactly the keys that match it.
    """
    if pattern == "*":
        return True
    head = _head(pattern)
    return pattern.endswith(":*") and unescaped(pattern[:-1]) == head == _at_most(head)


def _head(pattern: str) -> str:
    """Return the text with which all begins that matches `pattern`."""
    special = _GLOB.search(pattern)
    while special is not None and special[0][0] == "\\":
        special = _GLOB.search(pattern, special.end())
    return unescaped(pattern if special is None else pattern[: special.start()])


def _at_most(prefix: str) -> str:
    """Return the longest beginning of `prefix` that there is a tag for."""
    parts = prefix.split(":")
    return prefix if len(parts) <= PREFIXES + 1 else "".join(f"{p}:" for p in parts[:PREFIXES])


def unescaped(pattern: str) -> str:
    """Return what a pattern matches that has nothing in it but escaped characters."""
    return re.sub(r"\\(.)", r"\1", pattern)


def as_fnmatch(pattern: str) -> str:
    """Return a Redis glob pattern as `fnmatch` spells it."""
    return re.sub(r"\\(.)", r"[\1]", pattern).replace("[^]", "^").replace("[^", "[!")


def _one_of(globs: Sequence[str]) -> re.Pattern[str]:
    found: Any = "|".join(f"({translate(as_fnmatch(glob))})" for glob in globs)
    return re.compile(found or r"(?!)")
