"""Databases that are not to have the tables of this package."""

from collections.abc import Callable
from typing import Any

import pytest


class OnlyIn:
    """A router that keeps the tables from every database but some."""

    aliases: tuple[str, ...] = ()

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db in self.aliases if app_label == "cache_invalidation" else None


@pytest.fixture
def only_in(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the tables in these databases only."""

    def only_in(*aliases: str) -> None:
        monkeypatch.setattr(OnlyIn, "aliases", aliases)
        settings.DATABASE_ROUTERS = [f"{__name__}.OnlyIn"]

    return only_in
