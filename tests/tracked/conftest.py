"""A cache with tracked keys, as the one of the app: in Redis, and in the memory of the process."""

from typing import Any

import pytest
from django.core.cache import caches

from tests.testapp.models import Category, Product


@pytest.fixture(params=["tracked", "tracked_locmem"])
def cache(request: pytest.FixtureRequest, settings: Any) -> Any:
    settings.CACHE_INVALIDATION = {"CACHE": request.param}
    found = caches[request.param]
    found.clear()
    return found


@pytest.fixture
def product(transactional_db: None) -> Product:
    return Product.objects.create(name="old", category=Category.objects.create(name="C"))
