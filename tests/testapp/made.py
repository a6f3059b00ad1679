"""Models that a test makes, and that nobody must know of after it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps

from cache_invalidation import catalog, registry


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
