"""Receivers are connected anew whenever the registry changes; no write slips through meanwhile."""

from typing import Any

import pytest
from django.db.models import signals

from cache_invalidation import ModelInvalidation, registry
from tests.delivered import Delivered
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Unregistered

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_delete_of_another_thread_is_noticed_while_receivers_are_connected(
    monkeypatch: pytest.MonkeyPatch, deliveries: Delivered
) -> None:
    connect = signals.pre_delete.connect
    deleted: list[int] = []

    def delete() -> None:
        deleted.append(Category.objects.get().pk)
        Category.objects.all().delete()

    def connect_late(*args: Any, **kwargs: Any) -> None:
        if not deleted:
            elsewhere(delete)
        connect(*args, **kwargs)

    with registry.override(Category, ModelInvalidation), registry.override(Unregistered, None):
        Category.objects.create(name="C")
        deliveries.clear()
        with monkeypatch.context() as patch:
            patch.setattr(signals.pre_delete, "connect", connect_late)
            registry.register(Unregistered)
        assert deleted
        assert f"testapp.category:{deleted[0]}" in deliveries.tags
