"""Whether a row is stored as the attributes of its instance say.

As far as fields, columns and values tell: what a trigger makes of it, nobody knows who does not
read it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from functools import cache, partial
from typing import Any, Final

from django.db import connections
from django.db.models import (
    CharField,
    DecimalField,
    FileField,
    FloatField,
    JSONField,
    Model,
    TextField,
)

from cache_invalidation.observing.relations import keeps_values
from cache_invalidation.observing.rows_written import assigned_fields
from cache_invalidation.rules.loading import has_plain_attributes
from cache_invalidation.rules.templates import as_stored

# What has a part in it is Django's own, or may do anything.
_OF_FIELDS: Final = (
    "pre_save",
    "get_prep_value",
    "get_db_prep_value",
    "get_db_prep_save",
    "get_placeholder",
    "get_placeholder_sql",
    "from_db_value",
    "db_type",
)
_OF_MODELS: Final = ("_do_insert", "_do_update")

_DIGITS: Final = 15  # SQLite keeps a decimal number as a float.

# Ranges are stored with other bounds, arrays with elements of another type, and so on.
_OF_POSTGRESQL: Final = "django.contrib.postgres."


def only_database_knows(written: Model, using: str, raw: bool = False) -> bool:
    """Whether the row may differ from the attributes of the instance that was written."""
    model = type(written)
    if is_rewritten(model) or (raw and written._meta.parents):
        return True
    if not keeps_values(connections[using], model):
        return True
    values = written.__dict__
    if any(
        hasattr(values.get(c.attname), "resolve_expression") for c in model._meta.concrete_fields
    ):
        return True
    return any(alters(values.get(name)) for name, alters in _altering(model))


def key_of(written: Model, model: type[Model]) -> Any:
    """Return the primary key of the row of `model`, None if only the database knows it."""
    for name, alters in _altering_key(model):
        if alters(written.__dict__.get(name)):
            return None
    return written.pk


@cache
def is_rewritten(model: type[Model]) -> bool:
    """Whether what is stored may differ from the attribute: it is generated, or prepared."""
    return (
        not _is_written_by_django(model)
        or not has_plain_attributes(model)
        or any(map(_prepares, model._meta.concrete_fields))
    )


def fields_saved(
    model: type[Model], update_fields: Collection[str] | None, using: str
) -> frozenset[str] | None:
    """Return the names of the fields that a save of a row may change; None if there may be others.

    With `update_fields` it is these; and what the database makes of them.
    """
    if not _is_written_by_django(model):
        return None
    return assigned_fields(model, update_fields or None, connections[using])


@cache
def _is_written_by_django(model: type[Model]) -> bool:
    """Whether the statements of a save are those of Django, about the columns that it is told."""
    return all(_is_djangos(getattr(model, name)) for name in _OF_MODELS)


def _prepares(column: Any) -> bool:
    # Storing a file calls code of the project, such as `upload_to`: it may set other attributes,
    # of which the values have been taken already.
    return (
        column.generated
        or isinstance(column, FileField)
        or any(
            not _is_djangos(getattr(each, name, None))
            for each in _with_referred(column)
            for name in _OF_FIELDS
        )
    )


def _with_referred(column: Any) -> Iterator[Any]:
    """Yield the field, and those that a foreign key has prepare its values."""
    yield column
    while column.remote_field is not None:
        column = column.target_field
        yield column


def _is_djangos(method: Any) -> bool:
    return method is None or getattr(method, "__module__", "").startswith("django.")


# Of each column whose type in the database may take another value than it is given: the attribute,
# and what tells whether a value is one of these.
_Altering = tuple[tuple[str, Callable[[Any], bool]], ...]


@cache
def _altering(model: type[Model]) -> _Altering:
    return tuple(_altered(model._meta.concrete_fields))


@cache
def _altering_key(model: type[Model]) -> _Altering:
    rewritten = [(column.attname, _is_any) for column in model._meta.pk_fields if _prepares(column)]
    return (*rewritten, *_altered(model._meta.pk_fields))


def _is_any(value: Any) -> bool:
    return True


def _is_there(value: Any) -> bool:
    return value is not None


def _is_of_texts(field: Any) -> bool:
    """Whether it is an array of texts, as which tags and the like are kept."""
    base = getattr(field, "base_field", None)
    return isinstance(base, CharField | TextField) and not _prepares(base)


def _is_no_list_of_texts(limit: int | None, value: Any) -> bool:
    """Whether an array has something else for it, or cuts off the spaces of a text."""
    if value is None:
        return False
    return type(value) is not list or not all(
        each is None or (type(each) is str and (limit is None or len(each) <= limit))
        for each in value
    )


def _altered(columns: Iterable[Any]) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    for column in columns:
        *_, field = _with_referred(column)
        if isinstance(field, DecimalField):
            yield column.attname, partial(_is_rounded, field)
        elif isinstance(field, FloatField):
            yield column.attname, _is_no_number
        elif isinstance(field, CharField) and field.max_length is not None:
            yield column.attname, partial(_is_too_long, field.max_length)
        elif isinstance(field, JSONField):
            is_djangos = field.decoder is None and _is_djangos(field.encoder)
            yield column.attname, _is_respelled if is_djangos else _is_any
        elif any(kind.__module__.startswith(_OF_POSTGRESQL) for kind in type(field).__mro__):
            if _is_of_texts(field):
                yield column.attname, partial(_is_no_list_of_texts, field.base_field.max_length)
            else:
                yield column.attname, _is_there


def _is_rounded(field: "DecimalField[Any, Any]", value: Any) -> bool:
    if value is None:
        return False
    stored = value if isinstance(value, Decimal) else as_stored(field, value)
    if not isinstance(stored, Decimal):
        return True
    _, digits, exponent = stored.as_tuple()
    if len(digits) > _DIGITS or not isinstance(exponent, int):
        return True
    if stored is not value:
        return bool(stored != value)
    places: int | None = field.decimal_places
    return places is not None and -exponent > places


def _is_no_number(value: Any) -> bool:
    """Whether SQLite has NULL for it."""
    return value is not None and str(value).strip().lower().lstrip("+-") == "nan"


def _is_respelled(value: Any) -> bool:
    """Whether JSON has something else for it, or PostgreSQL makes something else of that.

    In which order the keys are is left out: it would take a query for most of what is written.
    """
    parts = [value]
    while parts:
        part = parts.pop()
        if type(part) is dict:
            if not all(type(key) is str for key in part):
                return True
            parts += part.values()
        elif type(part) is list:
            parts += part
        elif type(part) is float:
            if repr(part) != "0.0" and not 1e-4 < abs(part) < 1e15:
                return True
        elif part is not None and type(part) not in (str, int, bool):
            return True
    return False


def _is_too_long(limit: int, value: Any) -> bool:
    """Whether PostgreSQL cuts off the spaces at the end, which it does where nothing else is."""
    return value is not None and len(value if isinstance(value, str) else str(value)) > limit
