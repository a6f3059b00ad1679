"""Templates that are given as texts, rendered with blocks that are cached."""

import pytest

from cache_invalidation.surfaces.inputs import trail, variants
from tests.blocks.rendering import Site


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Begin with a process that has met no block."""
    trail.steps.clear()
    variants.forget()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site without templates yet."""
    return Site(monkeypatch)
