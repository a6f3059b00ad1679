"""What tests of the checks need."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings

from cache_invalidation import registry


@pytest.fixture(autouse=True)
def _nothing_misspelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, until the test ends, what cached functions of other tests named in their tags."""
    monkeypatch.setattr(registry, "_misspelled", {})


@pytest.fixture(autouse=True)
def _nothing_tracked() -> Iterator[None]:
    """Leave out the caches with tracked keys, of which only one can be that of the app."""
    caches = {n: each for n, each in settings.CACHES.items() if not n.startswith("tracked")}
    with override_settings(CACHES=caches):
        yield
