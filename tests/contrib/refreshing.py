"""What holds for every queue that values are refreshed by."""

import json
from datetime import date
from itertools import count
from typing import Any

from django.utils import translation

from cache_invalidation import cached
from cache_invalidation.reads import ahead
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
        assert refreshed(NAME) == {"stored": 1}
        Product.objects.filter(pk=product.pk).update(name="b")
        assert function(product, day) == (2, "b", "de")


def sent(settings: Any, function: Any) -> list[Any]:
    """Return what is given to a queue when `function` is hit twice; nobody works on it."""
    settings.CACHE_INVALIDATION = {"REFRESH": f"{__name__}.keep"}
    waiting.clear()
    function(), hit_when_due(function), hit_when_due(function)
    return waiting


waiting: list[Any] = []


def keep(message: Any) -> None:
    waiting.append(json.loads(json.dumps(message)))
