"""What tests of the checks need."""

import pytest

from cache_invalidation import registry


@pytest.fixture(autouse=True)
def _nothing_misspelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, until the test ends, what cached functions of other tests named in their tags."""
    monkeypatch.setattr(registry, "_misspelled", {})
