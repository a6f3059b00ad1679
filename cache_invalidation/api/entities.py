"""From ``{"type": "shop.product", "id": 42}`` to a model and a primary key."""

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import IntegerField, Model

from cache_invalidation.catalog import is_watched
from cache_invalidation.registry import registry


def model_of(entity_type: str) -> type[Model]:
    """Return the model with this label, in any case, or the one whose rule has this entity type.

    Raises `ValueError`, fit to be shown, if there is none, if several rules share the type, or if
    nobody watches the model.
    """
    labels = {m._meta.label_lower: m for m in apps.get_models(include_auto_created=True)}
    found = {r.model for r in registry.rules.values() if r.entity_type == entity_type}
    if model := labels.get(entity_type.lower()):
        found = {model}
    if not found:
        raise ValueError(f"There is no model and no rule with the entity type {entity_type!r}.")
    if len(found) > 1:
        names = ", ".join(sorted(model._meta.label_lower for model in found))
        raise ValueError(f"{entity_type!r} stands for several models; name one of {names}.")
    (model,) = found
    if not is_watched(model):
        raise ValueError(f"Nothing depends on {model._meta.label_lower}: EXCLUDE has it.")
    return model


def key_of(model: type[Model], value: Any) -> Any:
    """Return `value` as a primary key of `model`, a tuple if it is composite.

    Raises `ValueError`, fit to be shown, if it cannot be one.
    """
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return _key_of(fields[0], value)
    names = ", ".join(field.name for field in fields)
    if not isinstance(value, list) or len(value) != len(fields):
        raise ValueError(f"The primary key of {model._meta.label_lower} is a list of {names}.")
    return tuple(_key_of(*pair) for pair in zip(fields, value, strict=True))


def _key_of(field: Any, value: Any) -> Any:
    while field.remote_field is not None:
        field = field.target_field
    try:
        # A number would do for a UUID, and an operator will hardly have meant that.
        key = field.to_python(value if isinstance(field, IntegerField) else str(value))
        field.run_validators(key)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    except (TypeError, ArithmeticError):
        raise ValueError(f"{value!r} is not a key of this model.") from None
    return key
