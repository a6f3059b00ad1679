"""After a migration everything is stale: columns mean something else than before."""

from typing import Any

from django.apps import apps
from django.db.models.signals import post_migrate

from cache_invalidation.tags import ROOT
from cache_invalidation.writes.invalidate import invalidate


def install() -> None:
    """Drop everything at the end of each `migrate` and `flush`. May be called again."""
    # The signal is sent for one app after the other; others still write when they receive it.
    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1:]
    for config in last:
        post_migrate.connect(_drop_all, sender=config, dispatch_uid="cache_invalidation.migrations")


def _drop_all(using: str, **kwargs: Any) -> None:
    invalidate(tags=[ROOT], using=using, entity_type="migrate", cause="migrate")
