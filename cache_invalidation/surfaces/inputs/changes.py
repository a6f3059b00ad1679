"""Whether a page or a block changes what it looks at, such as a list that it adds something to.

A hit would not do that again. What Django finds out when it is asked for, and keeps, is no change:
relations and deferred fields of rows, the rows of a queryset, a cached property; nor is what a
method finds out and keeps in a private attribute that was None, or not there.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from inspect import getattr_static
from typing import Any, Final
from uuid import UUID

from django.contrib.messages.storage.base import BaseStorage
from django.core.paginator import Page
from django.db.models import Model, QuerySet
from django.db.models.fields.files import FieldFile, FileDescriptor
from django.db.models.query import RawQuerySet
from django.http import HttpRequest
from django.template.loader_tags import BlockNode
from django.utils import functional

from cache_invalidation.reads.spelling import PLAIN
from cache_invalidation.surfaces.inputs.portraits import LARGEST

#: Those that are kept in the place of what they were made from.
_FOUND_OUT: Final = functools.cached_property, functional.cached_property, FileDescriptor
#: Those that change by being looked at, or are seen to by somebody else.
_PASSED_BY: Final = RawQuerySet, FieldFile, HttpRequest, BaseStorage, BlockNode, type

#: Equal ones cannot be told apart, which is not so of 1.0 and 1.00.
_KEYS: Final = frozenset({int, str, bytes, UUID})


class Changes:
    """What was looked at, as it was then."""

    def __init__(self) -> None:
        # By identity, with the value, so that nothing else gets its address.
        self._seen: dict[int, Any] = {}
        self._checks: list[Callable[[], bool]] = []

    def pass_by(self, *values: Any) -> None:
        """Do not look into `values`, wherever they are."""
        self._seen.update((id(value), value) for value in values)

    def watch(self, value: Any) -> None:
        """Have it told by `any` if `value`, or something in it, is changed from now on."""
        todo = [value]
        while todo and len(self._seen) < LARGEST:
            found = todo.pop()
            if type(found) in PLAIN or id(found) in self._seen:
                continue
            self._seen[id(found)] = found
            try:
                todo.extend(self._parts(found))
            except Exception:  # noqa: BLE001 - the project's own, and nobody has asked for it
                self._checks.append(lambda: True)

    def remember(self, look: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
        """Return what `look` returns, and have it told by `any` when that is something else."""
        before = look()
        self._checks.append(lambda: _differ(before, look()))
        return before

    def any(self) -> bool:
        """Whether something of it is not what it was."""
        return any(check() for check in self._checks)

    def _parts(self, value: Any) -> Iterable[Any]:
        """Remember what `value` is, and return what is in it."""
        kind = type(value)
        if issubclass(kind, functional.LazyObject):
            wrapped = value.__dict__.get("_wrapped")
            return () if wrapped is functional.empty else (wrapped,)
        if issubclass(kind, QuerySet):
            return value._result_cache or ()
        if issubclass(kind, _PASSED_BY):
            return ()
        if issubclass(kind, Model):
            return self._row(value)
        if issubclass(kind, dict):
            return self.remember(lambda: dict(value)).values()
        if issubclass(kind, list | tuple | set | frozenset):
            return self.remember(lambda: dict(enumerate(value))).values()
        return self._object(value)

    def _row(self, value: Model) -> Iterable[Any]:
        held = vars(value)
        lacking = {field.attname for field in value._meta.fields}.difference(held)
        before = self.remember(
            lambda: {
                name: each
                for name, each in held.items()
                if name[:1] != "_" and name not in lacking and not _is_found_out(value, name)
            }
        )
        prefetched = held.get("_prefetched_objects_cache", {})
        return [*before.values(), *value._state.fields_cache.values(), *prefetched.values()]

    def _object(self, value: Any) -> Iterable[Any]:
        try:
            held: dict[str, Any] = vars(value)
        except TypeError:  # It is nothing that can be changed.
            return ()
        # What nobody else is to look at, and was not there: it has been found out by now.
        known = {name for name, each in held.items() if name[:1] != "_" or each is not None}
        self.remember(
            lambda: {
                name: each
                for name, each in held.items()
                if not _is_found_out(value, name) and (name[:1] != "_" or name in known)
            }
        )
        return [*held.values()]


def _is_found_out(value: Any, name: str) -> bool:
    """Whether what `value` holds under `name` may be there or not, or in the place of another."""
    if name == "object_list" and isinstance(value, Page):
        return True
    return isinstance(getattr_static(type(value), name, None), _FOUND_OUT)


def _differ(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> bool:
    return list(before) != list(now) or not all(
        _is_same(held, now[name]) for name, held in before.items()
    )


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are one, or cannot be told apart: a row that loads more gets a new key."""
    if one is other:
        return True
    return type(one) is type(other) and type(one) in _KEYS and bool(one == other)
