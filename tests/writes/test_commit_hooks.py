"""What else happens around COMMIT: hooks of the project, captured ones, a cache that is missing."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.test import TestCase, override_settings

from cache_invalidation import Event, Invalidation, ModelInvalidation, publish, registry
from tests.delivered import Delivered
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True)


class KeyRule(ModelInvalidation):
    keys = ["category:{pk}"]


class InTestCase(TestCase):
    """`captureOnCommitCallbacks` runs only the hooks that were added while it was open."""

    def setUp(self) -> None:
        self.enterContext(registry.override(Category, KeyRule))
        self.category = Category.objects.create(name="old")

    def test_a_write_before_the_capture_takes_nothing_away_from_one_in_it(self) -> None:
        cache.set(f"category:{self.category.pk}", "old")
        with self.captureOnCommitCallbacks(execute=True):
            self.category.name = "new"
            self.category.save()
        assert cache.get(f"category:{self.category.pk}") is None

    def test_the_same_holds_inside_of_a_block(self) -> None:
        cache.set(f"category:{self.category.pk}", "old")
        with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
            self.category.name = "new"
            self.category.save()
        assert cache.get(f"category:{self.category.pk}") is None


def test_a_cache_that_is_not_configured_keeps_no_hook_from_running() -> None:
    ran: list[str] = []
    with (
        registry.override(Category, ModelInvalidation),
        override_settings(CACHE_INVALIDATION={"CACHE": "missing"}),
        transaction.atomic(),
    ):
        transaction.on_commit(lambda: ran.append("hook"))
        Category.objects.create(name="C")
    assert ran == ["hook"]


@pytest.fixture
def on_commit_of_each_save() -> Iterator[list[str]]:
    """The names of the categories whose hook, added by a receiver of `post_save`, has run."""
    ran: list[str] = []

    def add_hook(instance: Category, **kwargs: Any) -> None:
        transaction.on_commit(lambda: ran.append(instance.name))

    post_save.connect(add_hook, sender=Category)
    try:
        yield ran
    finally:
        post_save.disconnect(add_hook, sender=Category)


@pytest.fixture
def subscribe() -> Iterator[Callable[[Any], None]]:
    """Subscribe to the event "e" until the test ends."""
    subscribers: list[Any] = []

    def add(subscriber: Any) -> None:
        subscribers.append(subscriber)
        registry.on_event("e", subscriber)

    yield add
    for subscriber in subscribers:
        registry.off_event(subscriber)


def test_a_subscriber_may_save_what_has_hooks_of_its_own(
    on_commit_of_each_save: list[str],
    subscribe: Callable[[Any], None],
    deliveries: Delivered,
) -> None:
    def save(event: Event) -> Invalidation:
        Category.objects.create(name="by subscriber")
        return Invalidation(tags=["event"])

    subscribe(save)
    with transaction.atomic():
        publish("e")
    assert Category.objects.get().name == "by subscriber"
    assert on_commit_of_each_save == ["by subscriber"]
    assert "event" in deliveries.tags
