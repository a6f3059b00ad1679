"""A package that uses Django's cache API, unchanged, under tracked keys: django-solo.

It caches the only row of a table, sets it anew when that is saved, and knows of no other write.
"""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models, transaction
from solo.models import SingletonModel

from cache_invalidation import no_invalidation, unit_of_work
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.surfaces.by_hand import tracked
from tests.testapp.made import make_model, models_forgotten

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@pytest.fixture
def model(db: None) -> Iterator[Any]:
    with models_forgotten():
        made = make_model("Site", {"title": models.TextField(default="old")}, SingletonModel)
        with connection.schema_editor() as editor:
            editor.create_model(made)
        try:
            yield made
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(made)


@pytest.fixture(params=[True, False], ids=["tracked", "as ever"])
def is_tracked(request: pytest.FixtureRequest, settings: Any) -> bool:
    settings.SOLO_CACHE = "default"
    if request.param:
        default = tracked(settings.CACHES["default"], TRACK=["solo:*"])
        settings.CACHES = settings.CACHES | {"default": default}
    return bool(request.param)


def title(model: Any) -> str:
    """Return what a request shows."""
    with unit_of_work():
        return str(model.get_solo().title)


@pytest.fixture
def cached(is_tracked: bool, model: Any) -> Any:
    for _ in range(3):  # What the first one has written itself is not kept.
        assert title(model) == "old"
    update_behind_the_back(model.objects.all(), title="unseen")
    assert title(model) == "old"
    update_behind_the_back(model.objects.all(), title="old")
    return model


def test_a_write_that_it_does_not_know_of(cached: Any, is_tracked: bool) -> None:
    cached.objects.update(title="new")
    assert title(cached) == ("new" if is_tracked else "old")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {cached._meta.db_table} SET title = 'newer'")
    assert title(cached) == title(cached) == ("newer" if is_tracked else "old")


def test_what_is_saved(cached: Any) -> None:
    with unit_of_work():
        found = cached.get_solo()
        found.title = "new"
        found.save()
    assert title(cached) == title(cached) == "new"
    update_behind_the_back(cached.objects.all(), title="unseen")
    assert title(cached) == "new"


def test_what_is_saved_and_rolled_back(cached: Any, is_tracked: bool) -> None:
    with unit_of_work(), transaction.atomic():
        found = cached.get_solo()
        found.title = "never"
        found.save()
        transaction.set_rollback(True)
    assert title(cached) == ("old" if is_tracked else "never")


def test_a_write_between_its_query_and_its_set(
    cached: Any, is_tracked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_invalidation():
        cached.clear_cache()
    set_to_cache, here = cached.set_to_cache, threading.current_thread()

    def overtaken(self: Any) -> None:
        if threading.current_thread() is here:
            elsewhere(lambda: cached.objects.update(title="new"))
        set_to_cache(self)

    monkeypatch.setattr(cached, "set_to_cache", overtaken)
    assert title(cached) == "old"
    monkeypatch.undo()
    assert title(cached) == ("new" if is_tracked else "old")
