"""Which models the tables hold, which of them nobody watches, and which columns name a row."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal
from uuid import UUID

from django.apps import apps
from django.core.signals import setting_changed
from django.db import models
from django.db.models import Field, Model, QuerySet
from django.db.models.signals import class_prepared
from django.dispatch import receiver

from cache_invalidation.conf import Settings
from cache_invalidation.querying import NEVER, wish_for
from cache_invalidation.rules.loading import as_stored_in
from cache_invalidation.rules.templates import as_stored, has_column
from cache_invalidation.tags import model_tag, table_of

#: How the values of a column are compared, where that is how Python compares them.
Comparison = Literal["integer", "uuid", "text"]

# A column of these types holds what the program compares; others are converted on their way, and
# a parameter of a query need not look like the attribute of an instance.
_VERBATIM: Mapping[type["Field[Any, Any]"], Comparison] = {
    models.IntegerField: "integer",
    models.UUIDField: "uuid",
    models.CharField: "text",
    models.TextField: "text",
}
_CONVERSIONS = ("get_prep_value", "get_db_prep_value", "get_db_prep_save", "to_python")


@cache
def models_by_table() -> Mapping[str, tuple[type[Model], ...]]:
    """Return the models whose rows are in each table; usually one, and never a proxy."""
    apps.check_models_ready()
    found: dict[str, tuple[type[Model], ...]] = {}
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.proxy:
            found[model._meta.db_table] = (*found.get(model._meta.db_table, ()), model)
    return found


@cache
def relatives() -> Mapping[type[Model], tuple[type[Model], ...]]:
    """Return the models by those that may share rows with them: all ancestors and descendants.

    Each model counts as its own, too.
    """
    apps.check_models_ready()
    models = apps.get_models(include_auto_created=True)
    places = {model: place for place, model in enumerate(models)}
    found: dict[type[Model], set[int]] = {model: set() for model in models}
    for model in models:
        for ancestor in model.__mro__:
            if ancestor in places:
                found[ancestor].add(places[model])
                found[model].add(places[ancestor])
    return {model: tuple(models[place] for place in sorted(found[model])) for model in models}


@cache
def many_to_many() -> Mapping[type[Model], tuple["Field[Any, Any]", "Field[Any, Any]"]]:
    """Return the foreign keys to both ends of each table that Django has made for a many-to-many.

    Whoever writes to it changes the relation. A model of the project between two others is not
    among them: its rows are things of their own.
    """
    return {field.remote_field.through: _ends(field) for field in _fields()}


@cache
def symmetrical() -> frozenset[type[Model]]:
    """Return those of them in which each is there twice, once for each direction."""
    fields = (field.remote_field for field in _fields())
    return frozenset(field.through for field in fields if field.symmetrical)


@cache
def links() -> Mapping[type[Model], tuple["Field[Any, Any]", ...]]:
    """Return the foreign keys to the ends of a many-to-many, by the model that has their columns.

    Those of models of the project between two others as well. By these, relations are looked up.
    """
    found: dict[type[Model], dict[Field[Any, Any], None]] = {}
    for field in _relations():
        if isinstance(field, models.ManyToManyField):
            for link in _ends(field):
                found.setdefault(table_of(link.model), {})[link] = None
    return {model: tuple(fields) for model, fields in found.items()}


@cache
def relation_names() -> "Mapping[Field[Any, Any], frozenset[str]]":
    """Return how models call their many-to-many relations, by the foreign key to their rows."""
    found: dict[Field[Any, Any], set[str]] = {}
    for field in _relations():
        if isinstance(field, models.ManyToManyField):
            related: Any = field.remote_field
            source, target = _ends(field)
            reverse = {related.name, related.get_accessor_name() or related.name}
            found.setdefault(source, set()).add(field.name)
            found.setdefault(target, set()).update({field.name} if related.symmetrical else reverse)
    return {link: frozenset(names) for link, names in found.items()}


@cache
def related_tags() -> frozenset[str]:
    """Return the tags of the models whose rows may be at an end of a many-to-many."""
    ends = {
        table_of(end)
        for field in _relations()
        for end in (field.model, field.related_model)
        if isinstance(end, type)
    }
    return frozenset(
        model_tag(model) for end in ends for model in relatives().get(end, ()) if is_watched(model)
    )


def _ends(field: Any) -> "tuple[Field[Any, Any], Field[Any, Any]]":
    """Return the foreign keys of a many-to-many to the rows that have the field, and to others."""
    between = field.remote_field.through._meta
    source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
    return between.get_field(source), between.get_field(target)


def _fields() -> Iterator[Any]:
    for field in _relations():
        if field.remote_field.through._meta.auto_created is not False:
            yield field


def _relations() -> Iterator[Any]:
    apps.check_models_ready()
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_many_to_many:
            # It is a name, or nothing, as long as the other end is not there.
            if getattr(field.remote_field.through, "_meta", None) and _has_ends(field):
                yield field


def _has_ends(field: Any) -> bool:
    """Whether the model between has foreign keys to both; Django has a check for that."""
    if not isinstance(field, models.ManyToManyField):
        return True
    try:
        _ends(field)
    except AttributeError:
        return False
    return True


@cache
def tables() -> frozenset[str]:
    """Return the tables of all models, those of excluded ones too."""
    return frozenset(models_by_table())


@cache
def is_excluded(model: type[Model]) -> bool:
    """Whether ``EXCLUDE`` names `model` or its app; or it is one of this package itself."""
    options = table_of(model)._meta
    if options.app_label == "cache_invalidation":
        return True
    names = {options.app_label.lower(), options.label_lower}
    # No write must fail of a setting.
    return not names.isdisjoint(label.lower() for label in Settings.EXCLUDE.usable())


@cache
def is_watched(model: type[Model]) -> bool:
    """Whether writes to the table of `model` are seen.

    Not so for a model of the past, which only a migration knows; what is written through it is seen
    as a write to the table.
    """
    table = table_of(model)
    return table in models_by_table().get(table._meta.db_table, ()) and not is_excluded(table)


def forget() -> None:
    """Look at the models and at the settings anew."""
    for answer in (
        models_by_table,
        relatives,
        many_to_many,
        symmetrical,
        links,
        relation_names,
        related_tags,
        tables,
        is_excluded,
        is_watched,
    ):
        answer.cache_clear()


@receiver(class_prepared, dispatch_uid="cache_invalidation.rules.catalog.models")
def _on_new_model(sender: type[Model], **kwargs: Any) -> None:
    if sender._meta.apps is apps:
        forget()


@receiver(setting_changed, dispatch_uid="cache_invalidation.rules.catalog.settings")
def _on_new_settings(setting: str, **kwargs: Any) -> None:
    if setting in ("INSTALLED_APPS", "CACHE_INVALIDATION"):
        forget()


def all_rows(model: type[Model], using: str) -> QuerySet[Any]:
    """Return a queryset of every row of `model`, in no order.

    The managers of a project may leave rows out, such as those that count as deleted. Their columns
    are as they are stored, and what is asked for goes to the database.
    """
    rows = as_stored_in(QuerySet(model, using=using).order_by())
    wish_for(rows.query, NEVER)
    return rows


def as_in_tags(field: "Field[Any, Any]", value: Any, vendor: str) -> Any:
    """Return a parameter of a query on the column of `field` as the tags of rows spell it.

    None if that cannot be told, or if the database takes other values for the same.
    """
    field = _referred(field)
    if _comparison(field) is None:
        return None
    if isinstance(field, models.IntegerField):
        found = as_stored(field, value) if isinstance(value, int | str) else None
        return found if isinstance(found, int) else None
    if isinstance(field, models.UUIDField):
        found = as_stored(field, value)
        return found if isinstance(found, UUID) else None
    # Two texts can be equal to a collation that differ by a byte; MySQL's own ones are like that.
    return value if isinstance(value, str) and vendor in ("postgresql", "sqlite") else None


def is_spelled_alike(field: Any) -> bool:
    """Whether queries and instances spell values of `field` alike, as far as its type tells."""
    return has_column(field) and compared_as(field) is not None


def compared_as(field: "Field[Any, Any]") -> Comparison | None:
    """Return how a column of `field` compares, by what Django makes of it; None if by no rule."""
    return _comparison(_referred(field))


def length_of(field: "Field[Any, Any]") -> int | None:
    """Return how long the texts of `field` may be; None for any length."""
    return _referred(field).max_length


def _referred(field: "Field[Any, Any]") -> "Field[Any, Any]":
    """Return the field whose values are in the column: of a foreign key, the one it refers to."""
    while field.remote_field is not None:
        field = field.target_field  # type: ignore[attr-defined]
    return field


@cache
def _comparison(field: "Field[Any, Any]") -> Comparison | None:
    if getattr(field, "db_collation", None) or not all(
        getattr(type(field), name).__module__.startswith("django.db.models.fields")
        for name in _CONVERSIONS
    ):
        return None
    return next((how for kind, how in _VERBATIM.items() if isinstance(field, kind)), None)
