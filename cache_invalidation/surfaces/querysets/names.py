"""What the queries of a model are called, among the names of functions."""

from typing import Final

from django.apps import apps
from django.db.models import Model

_SUFFIX: Final = ".queries"


def name_of(model: type[Model]) -> str:
    """Return the name for all queries of `model`, in keys, metrics and tags."""
    return f"{model._meta.label_lower}{_SUFFIX}"


def model_of(name: str) -> type[Model] | None:
    """Return the model whose queries are called `name`; None if that is another name."""
    label = name.removesuffix(_SUFFIX)
    if label == name or label.count(".") != 1:
        return None
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None
