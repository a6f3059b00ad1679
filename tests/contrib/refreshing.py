"""What holds for every queue that values are refreshed by."""

import json
from datetime import date
from itertools import count
from typing import Any
from unittest import mock

from django.utils import translation

from cache_invalidation import cached
from cache_invalidation.reads import ahead, cached_functions
from cache_invalidation.reads.hottest import hottest
from cache_invalidation.stores import get_store
from tests.reads.aging import TIMEOUT, hit_when_due, refreshed
from tests.testapp.models import Product

NAME = "refreshed by a worker"


def check_refresh(settings: Any, path: str) -> None:
    """Check that what `path` names has a value computed anew, in the language it is for."""
    settings.CACHE_INVALIDATION = {"REFRESH": path}
    ahead._turns._forget()
    calls = count()

    @cached(timeout=TIMEOUT, refresh=True, vary_on=["language"], name=NAME)
    def function(product: Product, day: date) -> tuple[int, str, str]:
        return next(calls), Product.objects.get(pk=product.pk).name, translation.get_language()

    product, day = Product.objects.create(name="a"), date(2026, 1, 2)
    with translation.override("de"):
        assert function(product, day) == (0, "a", "de")
        assert hit_when_due(function, product, day) == (0, "a", "de")
        assert function(product, day) == (1, "a", "de")
        found = refreshed(NAME)
        assert found == {"stored": 1}, f"{found} of {calls}"
        Product.objects.filter(pk=product.pk).update(name="b")
        assert function(product, day) == (2, "b", "de")


def check_warm_up(warm: Any) -> None:
    """Check that `warm` has what was dropped computed anew, and says how much that was."""
    calls = count()

    @cached(name=NAME)
    def function(number: int) -> int:
        return next(calls)

    with mock.patch.object(cached_functions, "is_chosen_for_warming", return_value=True):
        hottest._forget()
        function(1), function(1)
        hottest.send()
    get_store().drop_everything()
    assert warm()["stored"] == 1
    assert function(1) == 1


def sent(settings: Any, function: Any) -> list[Any]:
    """Return what is given to a queue when `function` is hit twice; nobody works on it."""
    settings.CACHE_INVALIDATION = {"REFRESH": f"{__name__}.keep"}
    waiting.clear()
    function(), hit_when_due(function), hit_when_due(function)
    return waiting


waiting: list[Any] = []


def keep(message: Any) -> None:
    waiting.append(json.loads(json.dumps(message)))
