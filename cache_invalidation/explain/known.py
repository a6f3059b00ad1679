"""What is cached, by name: functions, pages and blocks, and what each was found to depend on.

The queries of a model have a name among those of functions, and so have the keys that one pattern
tracks.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import names_counted, read_learned
from cache_invalidation.reads import functions
from cache_invalidation.reads.arguments import Signature
from cache_invalidation.surfaces.querysets.names import model_of
from cache_invalidation.surfaces.tracked import names as tracked_names
from cache_invalidation.tags import block_tags, function_tag, page_tag

Kind = Literal["function", "page", "block"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Known:
    """The names of what is cached: what this process has loaded, and any process has counted.

    Of pages, that is the name of their view. `found` is on what each was found to depend, by its
    name in the metrics. `is_complete` is not set if the cache did not answer.
    """

    def __init__(self) -> None:
        self.is_complete = True
        counted: set[str] = set()
        # What this process remembers of functions that are gone is nobody's business.
        loaded = {*functions.by_name(), *tracked_names.names()}
        self.found = {
            name: tags
            for name, tags in functions.families_found(_name_in).items()
            if split(name)[0] != "function" or name in loaded or model_of(name)
        }
        try:
            counted = names_counted()
            for name, tags in read_learned().items():
                self.found.setdefault(name, set()).update(tags)
        except StoreUnavailable:
            self.is_complete = False
        self.names: Mapping[Kind, set[str]] = {kind: set() for kind in KINDS}
        for name in {*loaded, *counted, *self.found}:
            kind, bare = split(name)
            self.names[kind].add(bare)


def _name_in(entry: str) -> str:
    glob = tracked_names.glob_in(entry)
    return Signature.name_in(entry) if glob is None else tracked_names.name_of(glob)


def split(name: str) -> tuple[Kind, str]:
    """Return what the metrics mean by `name`, and its name without the prefix of its kind."""
    prefix, colon, rest = name.partition(":")
    if colon and prefix in ("page", "block"):
        return ("page" if prefix == "page" else "block"), rest
    return "function", name


def joined(kind: Kind, name: str) -> str:
    """Return what `split` takes apart."""
    return name if kind == "function" else f"{kind}:{name}"


def tag_of(kind: Kind, name: str) -> str:
    """Return the tag that all entries of what is called `name` have."""
    if kind == "function":
        return function_tag(name)
    return page_tag(name) if kind == "page" else block_tags(name, "")[-1]
