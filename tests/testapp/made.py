"""Models that a test makes, and that nobody must know of after it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db.models import Model

from cache_invalidation import registry
from cache_invalidation.rules import catalog


@contextmanager
def models_forgotten() -> Iterator[None]:
    """Forget, when the block ends, the models of the test app that it makes."""
    known = dict(apps.all_models["testapp"])
    try:
        yield
    finally:
        apps.all_models["testapp"].clear()
        apps.all_models["testapp"].update(known)
        apps.clear_cache()
        catalog.forget()
        registry.rules_changed()


def make_model(
    name: str, attributes: dict[str, Any], *bases: type[Model], **options: Any
) -> type[Model]:
    """Return a model of the test app; `options` are those of its `Meta`, unless they are None."""
    options = {key: value for key, value in options.items() if value is not None}
    meta = type("Meta", (), {"app_label": "testapp", **options})
    namespace = {**attributes, "Meta": meta, "__module__": __name__}
    made: type[Model] = type(name, bases or (Model,), namespace)
    setattr(sys.modules[__name__], name, made)  # A query is pickled with the name of its model.
    return made
