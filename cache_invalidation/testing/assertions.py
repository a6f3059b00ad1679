"""`assert_invalidates` and `assert_not_invalidates`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from django.db.models import Model

from cache_invalidation.explain.explanation import why_unwatched
from cache_invalidation.reads.declared_tags import spell
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores.tracking import as_fnmatch
from cache_invalidation.tags import ROOT, check_names, check_written, expand, function_tag
from cache_invalidation.testing.calls import Call, call_of
from cache_invalidation.testing.capture import Capture, Captured

Target = str | type[Model] | Model | Callable[..., Any]


@dataclass(frozen=True)
class Dependant:
    """Something that becomes stale with any of its tags, given expanded, or with its entry."""

    label: str
    tags: frozenset[str]
    entry: str | None = None

    def is_stale(self, captured: Captured) -> bool:
        """Whether what was captured has made it stale."""
        return not self.tags.isdisjoint(captured.tags) or self.entry in captured.entries


class Targets:
    """What an assertion is about."""

    def __init__(
        self,
        targets: Iterable[Target],
        tags: Iterable[str],
        keys: Iterable[str],
        patterns: Iterable[str],
    ) -> None:
        self.targets = [_resolved(target) for target in (*targets, *check_names(tags))]
        self.keys = check_names(keys, "key")
        self.patterns = check_names(patterns, "pattern")
        self._before: list[Dependant | None] = []

    def __bool__(self) -> bool:
        return bool(self.targets or self.keys or self.patterns)

    def prepare(self) -> None:
        """Look up what depends on what, as far as there is something: afterwards it may be gone."""
        self._before = [
            None if isinstance(target, Model) and target.pk is None else _dependant(target)
            for target in self.targets
        ]

    def labels(self, captured: Captured, *, stale: bool) -> Iterator[str]:
        """Yield how to call those that were made stale, or those that were not."""
        for target, before in zip(self.targets, self._before, strict=True):
            dependant = before or _dependant(target)
            if dependant.is_stale(captured) is stale:
                yield dependant.label
        for key in self.keys:
            if _is_deleted(key, captured) is stale:
                yield f"key     {key}"
        for pattern in self.patterns:
            if (pattern in captured.patterns) is stale:
                yield f"pattern {pattern}"

    def unwatched(self) -> Iterator[str]:
        """Yield why writes to some of them cannot make anything stale."""
        for target in self.targets:
            if not isinstance(target, str | Call):
                reason = why_unwatched(type(target) if isinstance(target, Model) else target)
                if reason is not None:
                    yield reason


def _resolved(target: Any) -> str | type[Model] | Model | Call:
    if isinstance(target, str):
        return check_written(target)
    if isinstance(target, Model) or (isinstance(target, type) and issubclass(target, Model)):
        return target
    call = call_of(target)
    if call is None:
        raise TypeError(
            "What can be invalidated is a tag, a model, an instance or a cached function, in a "
            f"functools.partial if it has arguments; not {target!r}."
        )
    return call


def _dependant(target: str | type[Model] | Model | Call) -> Dependant:
    if isinstance(target, Call):
        tags = target.tags()
        always = {ROOT, function_tag(target.function.signature.name)}
        shown = sorted(tag for tag in tags - always if not tag.endswith(":*"))
        label = f"call    {target}, which depends on {', '.join(shown) or 'nothing'}"
        return Dependant(label, tags, target.entry)
    tag = spell(target)
    return Dependant(f"tag     {tag}", frozenset(expand(registry.with_parts([tag]))))


def _is_deleted(key: str, captured: Captured) -> bool:
    globs = map(as_fnmatch, captured.patterns)
    return key in captured.keys or any(fnmatchcase(key, glob) for glob in globs)


def _all_stale(targets: Targets, captured: Captured) -> None:
    """Raise `AssertionError` unless each of `targets` was made stale."""
    missing = list(targets.labels(captured, stale=False))
    if missing:
        said = _message("Not invalidated:", missing, "Invalidated instead:", captured)
        raise AssertionError("\n".join([said, *targets.unwatched()]))


def _none_stale(targets: Targets, captured: Captured) -> None:
    """Raise `AssertionError` if one of `targets` was made stale; without any, if anything was."""
    stale = list(targets.labels(captured, stale=True))
    if stale:
        heading = "Invalidated, and should not be:"
        raise AssertionError(_message(heading, stale, "All that was invalidated:", captured))
    if captured and not targets:
        raise AssertionError(_message("Nothing was to be invalidated.", [], "Was:", captured))


def _message(heading: str, labels: list[str], second: str, captured: Captured) -> str:
    causes = ", ".join(f"{cause} ({number})" for cause, number in captured.causes.items())
    lines = [heading, *(f"  {label}" for label in labels), second]
    lines += [f"  {line}" for line in str(captured).splitlines()] or ["  nothing at all"]
    lines += [f"Causes: {causes}"] if causes else []
    return "\n".join([*lines, "What a write invalidates, and by which rule: explain(instance)."])


def assert_invalidates(
    *targets: Target,
    tags: Iterable[str] = (),
    keys: Iterable[str] = (),
    patterns: Iterable[str] = (),
    using: str | None = None,
) -> Capture:
    """Return a block that raises `AssertionError` unless it makes each of the targets stale.

    A target is a tag, a model, an instance, or a cached function, with its arguments in a
    `functools.partial`. A tag is stale if a value that depends on it is: with the tag itself, its
    family tag or the root tag. An instance stands for the tag of its row, a model for its own tag.
    A call is stale with any tag that its value depended on before the block, or when it is itself
    invalidated; it is called once, without the cache, to find out. `tags` are tags as well. `keys`
    are plain cache keys, stale too with a pattern that matches them, and `patterns` have to be
    literally those invalidated.

    What the block gives and what counts is said by `capture_invalidations`. Raises `TypeError` for
    other targets and for none, `ValueError` for an instance that has no primary key in the end.
    """
    wanted = Targets(targets, tags, keys, patterns)
    if not wanted:
        raise TypeError("assert_invalidates() needs to know what is to be invalidated.")
    return Capture(using, wanted.prepare, partial(_all_stale, wanted))


def assert_not_invalidates(
    *targets: Target,
    tags: Iterable[str] = (),
    keys: Iterable[str] = (),
    patterns: Iterable[str] = (),
    using: str | None = None,
) -> Capture:
    """Return a block that raises `AssertionError` if it makes one of the targets stale.

    They are those of `assert_invalidates`. Without any, nothing at all may be invalidated.
    """
    wanted = Targets(targets, tags, keys, patterns)
    return Capture(using, wanted.prepare, partial(_none_stale, wanted))
