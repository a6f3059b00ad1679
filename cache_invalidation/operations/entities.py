"""How people name a model, a row or an event: on the command line, in a form, over REST."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import IntegerField, Model

from cache_invalidation.explain.explanation import why_unwatched
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import check_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A row of `model`, by its primary key, or any row of it without one.

    It is in the database `using`, or in the one that the project's routers write the model to.
    """

    model: type[Model]
    pk: Any = None
    using: str | None = None


class NoSuchModel(ValueError):
    """No model is called so."""


def find_model(name: str) -> type[Model]:
    """Return the model with this label, in any case, or the one whose rule has this entity type.

    Raises `ValueError`, fit to be shown, if there is none, which is `NoSuchModel`, or if several
    rules share the type.
    """
    labels = {m._meta.label_lower: m for m in apps.get_models(include_auto_created=True)}
    if model := labels.get(name.lower()):
        return model
    found = sorted(
        {rule.model for rule in registry.all_rules if rule.entity_type == name},
        key=lambda model: model._meta.label,
    )
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(model._meta.label for model in found)
        raise ValueError(f"{name!r} stands for several models; name one of {names}.")
    close = nearest_models(name)
    raise NoSuchModel(f"There is no model {name!r}. {suggest(close, 'Its name is app.Model.')}")


def is_of_rows(name: str) -> bool:
    """Whether `name` is the entity type of a rule, or a model; others are called as they like."""
    models = apps.get_models(include_auto_created=True)
    return name in {
        *(rule.entity_type for rule in registry.all_rules),
        *(model._meta.label_lower for model in models),
    }


def find_watched_model(name: str) -> type[Model]:
    """Return what `find_model` does; raise `ValueError`, with the reason, if nobody watches it."""
    model = find_model(name)
    if reason := why_unwatched(model):
        raise ValueError(reason)
    return model


def find_event(name: str) -> str:
    """Return `name` if an event that is called so has a subscriber.

    Raises `ValueError`, fit to be shown, if it has none, or if nothing can be called so.
    """
    if registry.subscribers_of(check_name(name, "event name")):
        return name
    known = sorted({wanted for wanted, _ in registry.subscribers})
    others = f"{len(known)} others are known." if known else "None is known."
    hint = suggest(get_close_matches(name, known, 3), others)
    raise ValueError(f"No event {name!r} has a subscriber. {hint}")


def suggest(close: Sequence[str], otherwise: str) -> str:
    """Return the end of an error message: which names come close, or what to say if none does."""
    return f"Did you mean {' or '.join(close)}?" if close else otherwise


def parse_key(model: type[Model], values: Sequence[Any]) -> Any:
    """Return the primary key that is spelled in `values`, one for each of its columns.

    It is a tuple if it is composite. Raises `ValueError`, fit to be shown, if it cannot be one.
    """
    fields = model._meta.pk_fields
    label = model._meta.label
    if len(values) != len(fields):
        names = ", ".join(field.name for field in fields)
        given = "1 value is" if len(values) == 1 else f"{len(values)} values are"
        raise ValueError(f"{given} given for the primary key of {label}, which is: {names}.")
    try:
        key = tuple(_parse(*pair) for pair in zip(fields, values, strict=True))
    except ValidationError as error:
        raise ValueError(f"This is no primary key of {label}: {' '.join(error.messages)}") from None
    except (TypeError, ArithmeticError):
        raise ValueError(f"This is no primary key of {label}: {values!r}") from None
    return key if len(key) > 1 else key[0]


def _parse(field: Any, value: Any) -> Any:
    while field.remote_field is not None:
        field = field.target_field
    # A number would do for a UUID, and an operator will hardly have meant that.
    key = field.to_python(value if isinstance(field, IntegerField) else str(value))
    field.run_validators(key)
    return key


def nearest_models(name: str) -> list[str]:
    """Return the labels of the models that are meant by `name`, or that come close to it."""
    labels = {m._meta.label_lower: m for m in apps.get_models(include_auto_created=True)}
    name = name.lower()
    return [
        model._meta.label
        for model in labels.values()
        if name in (model._meta.model_name, model._meta.db_table.lower())
    ] or [labels[label]._meta.label for label in get_close_matches(name, labels, 3)]
