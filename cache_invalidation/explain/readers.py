"""What is cached, as people see it: functions, pages and blocks, and on what each depends."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypedDict

from django.core.cache import caches

from cache_invalidation.conf import settings
from cache_invalidation.explain.known import Kind, Known, joined, tag_of
from cache_invalidation.reads import functions
from cache_invalidation.reads.declared_tags import DeclaredTags, spell
from cache_invalidation.reads.read import Default
from cache_invalidation.reads.spelling import dotted_name
from cache_invalidation.rules.registry import registry
from cache_invalidation.surfaces.querysets.names import model_of
from cache_invalidation.surfaces.querysets.wanted import lifetime_by_setting
from cache_invalidation.surfaces.tracked import names as tracked_names
from cache_invalidation.tags import ROOT, family, page_tag


class FunctionEntry(TypedDict):
    """A cached function that this process has loaded, or of which others have told.

    `tags` is null if it finds out by itself what it depends on; `code` are the callables that name
    more of them. The queries of a model are one, too; their `timeout` is that of QUERIES, or the
    default. So are the keys that one pattern tracks, with the timeout of the cache. `found` is what
    its calls have turned out to depend on besides, in any process: tags without a family, and
    family tags. `timeout` is in seconds, null for ever; `sample` is null for never. What it
    declares is not known if it is not `loaded`.
    """

    function: str
    loaded: bool
    tags: list[str] | None
    code: list[str]
    found: list[str]
    timeout: float | None
    lock: bool
    sample: float | None


class PageEntry(TypedDict):
    """The cached pages or responses of a view that somebody has asked for; `found` as above."""

    page: str
    found: list[str]


class BlockEntry(TypedDict):
    """A cached block that was rendered, by its template and its name; `found` as above."""

    block: str
    found: list[str]


def functions_known(known: Known) -> list[FunctionEntry]:
    """Return the functions, by name."""
    loaded = functions.by_name()
    return [_function(name, loaded.get(name), known) for name in sorted(known.names["function"])]


def pages_known(known: Known) -> list[PageEntry]:
    """Return the pages, by the names of their views."""
    names = sorted(known.names["page"])
    return [PageEntry(page=name, found=_found(known, joined("page", name))) for name in names]


def blocks_known(known: Known) -> list[BlockEntry]:
    """Return the blocks, by their names."""
    names = sorted(known.names["block"])
    return [BlockEntry(block=name, found=_found(known, joined("block", name))) for name in names]


def reads(entry: Mapping[str, Any], dropped: str) -> bool:
    """Whether dropping the tag `dropped`, for some values of it, may make a value stale."""
    return any(
        tag == dropped or (":" in tag and ":" in dropped and family(tag) == family(dropped))
        for tag in chain(registry.with_parts(entry.get("tags") or ()), entry["found"])
    )


def dependent_on(
    tags: Iterable[str], known: Known, keys: Iterable[str] = (), patterns: Iterable[str] = ()
) -> list[str]:
    """Return the names, as in the metrics, of what may become stale if all that is dropped.

    Keys and patterns are those of the project, which may be tracked. What depends on a page by its
    path is not known.
    """
    dropped, tracked = frozenset(tags), tracked_names.names_for(keys, patterns)
    return [
        joined(kind, name)
        for kind, name, entry in _cached(known)
        if joined(kind, name) in tracked
        or any(depends_on(kind, name, entry, tag) for tag in dropped)
    ]


def depends_on(kind: Kind, name: str, entry: Mapping[str, Any], dropped: str) -> bool:
    """Whether dropping the tag `dropped` may make a value of this function, page or block stale."""
    return dropped == ROOT or _is_own(dropped, tag_of(kind, name)) or reads(entry, dropped)


def unread(tags: Iterable[str], known: Known) -> list[str]:
    """Return those of `tags` on which nothing depends that is `known`: misspelled, as a rule.

    There are none if the cache did not answer, and so not everything is known.
    """
    if not known.is_complete:
        return []
    cached = list(_cached(known))
    return [tag for tag in sorted(tags) if not any(_is_read(tag, *each) for each in cached)]


def _is_read(tag: str, kind: Kind, name: str, entry: Mapping[str, Any]) -> bool:
    # Which paths a page was asked for at is not known.
    is_path = tag.startswith(page_tag("/")) and kind == "page"
    return is_path or depends_on(kind, name, entry, tag)


def _cached(known: Known) -> Iterator[tuple[Kind, str, Mapping[str, Any]]]:
    for function in functions_known(known):
        yield "function", function["function"], function
    for page in pages_known(known):
        yield "page", page["page"], page
    for block in blocks_known(known):
        yield "block", block["block"], block


def _is_own(tag: str, own: str) -> bool:
    """Whether `tag` is `own`, that of a call, or one above: of a template, all pages or blocks."""
    is_call = own.endswith("()") and tag.startswith(own[:-1])
    return tag in (own, family(own)) or own.startswith(f"{tag}:") or is_call


def _found(known: Known, name: str) -> list[str]:
    return sorted(known.found.get(name, set()) - {ROOT})


def _function(name: str, function: Any, known: Known) -> FunctionEntry:
    entry = FunctionEntry(
        function=name,
        loaded=function is not None,
        tags=None,
        code=[],
        found=_found(known, name),
        timeout=None,
        lock=False,
        sample=None,
    )
    if function is None and (model := model_of(name)) is not None:
        timeout = lifetime_by_setting(model)
        entry["loaded"] = True
        entry["timeout"] = settings.DEFAULT_TIMEOUT if timeout is False else timeout
    if name in tracked_names.names():
        entry["loaded"], entry["timeout"] = True, caches[settings.CACHE].default_timeout
    if function is not None:
        declared: DeclaredTags = function.tags
        plain = [tag for tag in declared.sources if tag not in declared.callables]
        entry["tags"] = None if function.records else list(map(spell, plain))
        entry["code"] = [dotted_name(tag) for tag in declared.callables]
        timeout = function.timeout
        entry["timeout"] = settings.DEFAULT_TIMEOUT if isinstance(timeout, Default) else timeout
        entry["lock"], entry["sample"] = function.lock, function.sample
    return entry
