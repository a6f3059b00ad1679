"""Templates such as ``category:{category_id}`` and what their placeholders stand for."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from string import Formatter
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import router
from django.db.models import (
    DateTimeField,
    DecimalField,
    Field,
    FileField,
    ForeignObject,
    Model,
)
from django.utils import timezone

from cache_invalidation.exceptions import TemplateError
from cache_invalidation.rules.loading import has_plain_attributes, in_column, stored_row
from cache_invalidation.tags import (
    MAX_HEAD,
    check_characters,
    check_name,
    check_star,
    escape,
    escape_glob,
    is_catch_all,
    shorten,
)

_SPECIAL = re.compile(r"[*?\[\]\\]")

Kind = Literal["tag", "key", "pattern"]
Resolver = Callable[[str], Any]
ValueOf = Callable[[Model, "Field[Any, Any]"], Any]


class Template:
    """A parsed template. Placeholders are names joined by ``__``, as in ORM lookups.

    Raises `TemplateError` for what `str.format` would take but a template does not (attributes,
    indexes, conversions, format specs), and for a tag whose family is not spelled out.
    """

    def __init__(
        self, source: str, kind: Kind = "tag", fields: frozenset[str] | None = None
    ) -> None:
        self.source = check_characters(source, kind)
        self.kind = kind
        # It counts only if one of these changed; None if it says nothing about that.
        self.fields = fields
        try:
            self.parts = tuple(_parse(source))
        except ValueError as error:
            raise TemplateError(f"The {kind} template {source!r} is malformed: {error}.") from None
        self.paths = frozenset(path for _, path in self.parts if path is not None)
        # The names of its placeholders are not in what it is rendered to, however long they are.
        check_name("".join(literal for literal, _ in self.parts) or "-", kind)
        if kind == "tag":
            self._check_stars()
        if kind == "tag" and self.paths and ":" not in self.head:
            raise TemplateError(
                f"The tag template {source!r} needs a literal family before its first placeholder, "
                f"for example 'product:{{{min(self.paths)}}}'."
            )
        if kind == "tag" and self.paths and len(self.head.partition(":")[0]) > MAX_HEAD:
            raise TemplateError(
                f"The family of the tag template {source!r} is longer than {MAX_HEAD} characters."
            )
        if kind != "tag" and is_catch_all(self.collapsed()):
            raise TemplateError(
                f"The {kind} template {source!r} needs something literal besides its placeholders: "
                "where their values are not known, it would stand for every key of the cache."
            )

    def _check_stars(self) -> None:
        try:
            # A placeholder has a value, so what is beside it cannot stand for a family.
            check_star("".join(f"{text}{'' if path is None else '-'}" for text, path in self.parts))
        except ValueError as error:
            raise TemplateError(str(error)) from None

    def __repr__(self) -> str:
        return f"Template({self.source!r}, {self.kind!r})"

    @property
    def head(self) -> str:
        """The text before the first placeholder."""
        head = ""
        for literal, path in self.parts:
            head += literal
            if path is not None:
                break
        return head

    @property
    def is_prefix(self) -> bool:
        """Whether it is a pattern for all keys that begin with something that ends in a colon."""
        text = "".join(literal for literal, _ in self.parts)
        return self.kind == "pattern" and text.endswith(":*") and not _SPECIAL.search(text[:-1])

    def render(self, resolve: Resolver) -> str:
        """Return the tag, key or pattern for the values that `resolve` returns for each path."""
        text = "".join(
            literal if path is None else literal + self._spell(resolve(path))
            for literal, path in self.parts
        )
        return shorten(text) if self.kind == "tag" else check_name(text, self.kind)

    def collapsed(self) -> str:
        """Return what stands for every value: the family of a tag, a pattern for keys."""
        if not self.paths:
            return "".join(literal for literal, _ in self.parts)
        if self.kind == "tag":
            return self.head.partition(":")[0] + ":*"
        literal = escape_glob if self.kind == "key" else str
        return "".join(
            literal(text) + ("" if path is None else "*") for text, path in self.parts
        ).replace("**", "*")

    def _spell(self, value: Any) -> str:
        if isinstance(value, Model):
            value = value.pk
        if self.kind == "tag":
            return escape(value)
        return escape_glob(str(value)) if self.kind == "pattern" else str(value)


@lru_cache(maxsize=1024)
def parse(source: str, kind: Kind = "tag", fields: frozenset[str] | None = None) -> Template:
    """Return the `Template` for `source`; parsed once."""
    return Template(source, kind, fields)


def _parse(source: str) -> Iterator[tuple[str, str | None]]:
    for literal, path, spec, conversion in Formatter().parse(source):
        if path is None:
            yield literal, None
            continue
        if spec or conversion:
            raise ValueError(f"{{{path}}} must be a plain name, without '!' or ':'")
        if not all(part.isidentifier() for part in path.split("__")):
            raise ValueError(f"{{{path}}} must be names joined by '__'")
        yield literal, path


def resolvers_for(instance: Model) -> Iterator[Resolver]:
    """Yield functions from a path to the value it has for `instance`: what is stored, and is shown.

    These are one, unless a descriptor of the project has something else of a column.
    """
    yield resolver_for(instance)
    if not has_plain_attributes(type(instance)):
        yield resolver_for(instance, _as_shown)


def _as_shown(row: Model, field: "Field[Any, Any]") -> Any:
    return getattr(row, field.attname)


def resolver_for(instance: Model, value_of: ValueOf = in_column) -> Resolver:
    """Return a function from a path to the value it has for `instance`.

    Relations are followed; behind a null relation every path is None.
    """

    def resolve(path: str) -> Any:
        value: Any = instance
        for name in path.split("__"):
            if value is None:
                return None
            if value is not instance and isinstance(value, Model):
                value = stored_row(value)
            value = _attribute(value, name, value_of)
        return value

    return resolve


def _attribute(value: Any, name: str, value_of: ValueOf) -> Any:
    if not isinstance(value, Model):
        return getattr(value, name)
    if name == "pk":
        name = value._meta.pk.attname
    try:
        field = value._meta.get_field(name)
    except FieldDoesNotExist:
        return getattr(value, name)
    if not isinstance(field, Field) or (field.is_relation and name != field.attname):
        if isinstance(field, ForeignObject):
            _look_up(value, field)
        return getattr(value, name)
    return as_stored(field, value_of(value, field))


def _look_up(row: Model, field: Any) -> None:
    """Have `row` refer to what is where writes go, if reads go elsewhere: a replica is behind."""
    model = field.related_model
    if field.is_cached(row) or None in field.get_local_related_value(row):
        return
    primary = router.db_for_write(model, instance=row)
    if router.db_for_read(model, instance=row) != primary:
        rows = model._base_manager.using(primary)
        field.set_cached_value(row, rows.get(field.get_reverse_related_filter(row)))


def as_stored(field: "Field[Any, Any]", value: Any) -> Any:
    """Return `value` as it would come back from the database, so that '3' and 3 are one tag."""
    if value is None or hasattr(value, "resolve_expression"):
        return value
    if isinstance(field, FileField):
        return str(value)  # The name, which is what is in the column.
    try:
        value = field.to_python(value)
        if isinstance(value, str):
            return str.__str__(value)  # A member of an enumeration has another `str()`.
        if isinstance(field, DecimalField) and isinstance(value, Decimal):
            return _with_places(field, value)
        if isinstance(field, DateTimeField) and isinstance(value, datetime):
            return _in_zone(value)
    except (ValidationError, TypeError, ValueError, InvalidOperation):
        pass  # What the database does not take either is a tag as it is.
    return value.value if isinstance(value, Enum) else value


def has_column(field: Any) -> bool:
    """Whether `field` has a column in the table of its model."""
    return isinstance(field, Field) and not field.many_to_many and bool(field.column)


def key_as_stored(model: type[Model], pk: Any) -> Any:
    """Return a primary key of `model` as it would come back, a tuple if it is composite."""
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return pk if type(pk) is int else as_stored(fields[0], pk)
    return tuple(as_stored(field, value) for field, value in zip(fields, pk, strict=True))


def _in_zone(value: datetime) -> datetime:
    """Return `value` with a time zone or without, as it comes back from the database."""
    if timezone.is_naive(value) == settings.USE_TZ:
        change = timezone.make_aware if settings.USE_TZ else timezone.make_naive
        return change(value, timezone.get_default_timezone())
    return value


def _with_places(field: "DecimalField[Any, Any]", value: Decimal) -> Decimal:
    places: int | None = field.decimal_places
    if places is None or not value.is_finite():
        return value
    return value.quantize(Decimal(1).scaleb(-places), context=Context(prec=field.max_digits))


def problem_with(path: str, model: type[Model]) -> str | None:
    """Return why `path` can not be resolved for `model`, as half a sentence, or None if it can."""
    current: Any = model
    for name in path.split("__"):
        if current is None:
            return f"{name!r} follows something that is not a relation"
        try:
            field = current._meta.pk if name == "pk" else current._meta.get_field(name)
        except FieldDoesNotExist:
            attribute = getattr(current, name, None)
            if attribute is None or callable(attribute):
                return f"{current._meta.label} has no field or property {name!r}"
            current = None
            continue
        if field.many_to_many or field.one_to_many:
            return f"{current._meta.label}.{name} has many values"
        is_column = name == getattr(field, "attname", None) and field.is_relation
        current = field.related_model if field.is_relation and not is_column else None
    return None
