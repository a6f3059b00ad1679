"""How people name what is cached: functions, pages and blocks, all entries of each.

The queries of a model have a name among those of functions, and so have the keys that one pattern
tracks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final
from urllib.parse import unquote

from django.conf import settings as django_settings
from django.urls import Resolver404, resolve
from django.utils import translation

from cache_invalidation.explain.known import KINDS, Kind, Known, split, tag_of
from cache_invalidation.operations.entities import nearest_models, suggest
from cache_invalidation.surfaces.querysets.names import model_of
from cache_invalidation.tags import MAX_LENGTH, check_characters, page_tag

SUGGESTED: Final = 3
COMPARED: Final = 10  # of the names in one request that nobody knows; it takes long among thousands

LISTED: Final = "which cache_metrics and the registry in the admin list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """All that is cached of a function, a page or a block; dropping `tag` drops it."""

    kind: Kind
    name: str
    tag: str


class KnownNames(Known):
    """The same, to look up what somebody has typed in."""

    def __init__(self) -> None:
        super().__init__()
        self._comparisons = COMPARED

    def find(self, name: str, kinds: Sequence[Kind] = KINDS) -> list[Named]:
        """Return what is called `name`; a page by its view or its path, a block by its template.

        As in the metrics, ``page:`` or ``block:`` may stand before it. Raises `ValueError`, fit to
        be shown, if nothing is called so.
        """
        check_characters(name, "name")
        if found := [*self._found(name, kinds)]:
            return found
        what = " or ".join([", ".join(kinds[:-1]), kinds[-1]] if kinds[1:] else kinds)
        raise ValueError(f"No cached {what} is called {name!r}. {self._hint(name, kinds)}")

    def find_any(self, name: str) -> list[Named]:
        """Do the same for a `name` that no model has; models are suggested, too."""
        try:
            return self.find(name)
        except ValueError:
            if name.startswith("/"):
                raise  # No model is called like that, and nobody means one.
            hint = self._hint(name, KINDS, nearest_models(name))
            raise ValueError(
                f"There is no model {name!r}, and no cached function, page or block. {hint}"
            ) from None

    def _found(self, name: str, kinds: Sequence[Kind]) -> Iterator[Named]:
        only, bare = split(name)
        if bare.startswith("/") and only != "block":
            if "page" in kinds:
                yield Named(kind="page", name=bare, tag=page_tag(_checked_path(bare)))
            return
        for kind in kinds:
            wanted = bare if kind == only else name
            if self._knows(kind, wanted):
                yield Named(kind=kind, name=wanted, tag=tag_of(kind, wanted))

    def _knows(self, kind: Kind, name: str) -> bool:
        if kind == "function" and model_of(name) is not None:
            return True  # Whether anybody has counted one of its queries or not.
        if kind != "block":
            return name in self.names[kind]
        # Blocks are counted by their tags; those of a template begin with its own.
        tag = tag_of(kind, name)
        tags = [f"block:{known}" for known in self.names[kind]]
        return any(known == tag or known.startswith(f"{tag}:") for known in tags)

    def _hint(self, name: str, kinds: Sequence[Kind], further: Sequence[str] = ()) -> str:
        known = sorted({*further, *(known for kind in kinds for known in self.names[kind])})
        last = [other for other in known if other.rpartition(".")[2] == name]
        close = last[:SUGGESTED]
        if not close and self._comparisons and len(name) <= MAX_LENGTH:
            self._comparisons -= 1
            close = _close(name, known)
        otherwise = f"{len(known)} others are known, {LISTED}." if known else "None is known."
        hint = suggest(close or list(further), otherwise)
        if not self.is_complete:
            hint += " The cache does not answer, so only functions of this process are known."
        return hint


def _close(name: str, known: Sequence[str]) -> list[str]:
    """Return those of `known` that come close to `name`, or end in something that does."""
    if close := get_close_matches(name, known, SUGGESTED):
        return close
    ends = {other.rpartition(".")[2]: other for other in known}
    return [ends[end] for end in get_close_matches(name, ends, SUGGESTED)]


def _checked_path(path: str) -> str:
    """Return `path`; raise `ValueError`, fit to be shown, if no URL of the project is like that."""
    if _leads_somewhere(path):
        return path
    bare = unquote(path.partition("?")[0])
    others = [bare, bare.removesuffix("/") if bare.endswith("/") else f"{bare}/"]
    known = [other for other in others if other != path and _leads_somewhere(other)]
    hint = suggest(known, f"Its tag is {page_tag(path)}.")
    raise ValueError(f"No URL in ROOT_URLCONF leads to a page at {path!r}. {hint}")


def _leads_somewhere(path: str) -> bool:
    if not hasattr(django_settings, "ROOT_URLCONF"):
        return False
    language = translation.get_language_from_path(path) or translation.get_language()
    try:
        with translation.override(language):
            resolve(path)
    except Resolver404:
        return False
    return True
