"""The way to the store of an alias."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from django.test import modify_settings

from cache_invalidation import cached, invalidate, stores
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import get_store
from tests.elsewhere import apart
from tests.stores.steps import PATIENCE
from tests.testapp.models import Tag

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str], object]], None]]:
    """Hand every message of the log to a function."""
    monkeypatch.setattr(stores, "_unusable", set())
    logger, handlers = logging.getLogger("cache_invalidation"), list[logging.Handler]()

    def to(function: Callable[[str], object]) -> None:
        handler = logging.Handler()
        monkeypatch.setattr(handler, "emit", lambda record: function(record.getMessage()))
        handlers.append(handler)
        logger.addHandler(handler)

    yield to
    for handler in handlers:
        logger.removeHandler(handler)


def test_a_cache_that_there_is_not_is_logged_once(emitted):
    messages: list[str] = []
    emitted(messages.append)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            get_store("no such cache")
    assert len(messages) == 1
    assert "'no such cache' cannot be used" in messages[0]


def test_without_the_app_nothing_is_cached_and_the_log_says_why(emitted, monkeypatch):
    messages: list[str] = []
    emitted(messages.append)
    numbers = iter(range(3))
    number = cached(name="number of calls", tags=["a"])(lambda: next(numbers))
    with monkeypatch.context() as context:
        context.setattr(stores, "_stores", {})
        context.setattr(stores, "_writes_are_seen", False)
        assert [number(), number()] == [0, 1]
    assert len(messages) == 1
    assert "not in INSTALLED_APPS" in messages[0]
    assert number() == number() == 2


def test_an_app_that_is_left_out_for_a_while_is_still_there():
    number = cached(name="calls with fewer apps", tags=["a"])(iter(range(3)).__next__)
    with modify_settings(INSTALLED_APPS={"remove": ["cache_invalidation"]}):
        assert number() == number() == 0


def test_a_log_that_is_kept_in_the_database_may_need_the_store(emitted, settings, monkeypatch):
    settings.CACHE_INVALIDATION = {"CACHE": "no such cache"}
    lock = threading.Lock()
    monkeypatch.setattr(stores, "_lock", lock)
    emitted(lambda message: Tag.objects.create(name=message[:50]))

    @apart
    def write() -> None:
        invalidate(tags=["a"])

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(PATIENCE)
    if hangs := writer.is_alive():
        lock.release()
    writer.join(PATIENCE)
    assert not hangs
    assert Tag.objects.filter(name__contains="no such cache").exists()
