"""What a rule names under a condition of its own: tags, keys and patterns."""

from collections.abc import Iterable
from typing import ClassVar, Self

from cache_invalidation.rules.templates import Kind


class Named(str):
    """A template that counts only if one of `fields` changed, whatever the `fields` of its rule."""

    __slots__ = ("fields",)

    kind: ClassVar[Kind]
    fields: frozenset[str]

    def __new__(cls, source: str, *, fields: Iterable[str]) -> Self:
        names = () if isinstance(fields, str) else tuple(fields)
        if not names or not all(isinstance(name, str) for name in names):
            raise TypeError(
                f"fields of {cls.__name__}({source!r}) is {fields!r}, which is no list of names: "
                f"write {cls.__name__}({source!r}, fields=['name'])."
            )
        named = super().__new__(cls, source)
        named.fields = frozenset(names)
        return named

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, list[str]]]:
        return (str(self),), {"fields": sorted(self.fields)}


class Tag(Named):
    """A tag of a rule that is dropped only if one of `fields` changed."""

    __slots__ = ()
    kind = "tag"


class Key(Named):
    """A key of a rule that is deleted only if one of `fields` changed."""

    __slots__ = ()
    kind = "key"


class Pattern(Named):
    """A pattern of a rule whose keys are deleted only if one of `fields` changed."""

    __slots__ = ()
    kind = "pattern"
