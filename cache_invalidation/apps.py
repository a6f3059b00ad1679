"""What happens when Django starts."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class CacheInvalidationConfig(AppConfig):
    """Finds the rules, then connects what makes them act."""

    name = "cache_invalidation"
    verbose_name = "Cache invalidation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Each step may be done again."""
        from cache_invalidation import checks  # noqa: F401 - registers itself
        from cache_invalidation.delivery.outbox import draining
        from cache_invalidation.metrics import requests
        from cache_invalidation.observing import watcher
        from cache_invalidation.reads import one_by_one
        from cache_invalidation.rules.registry import registry
        from cache_invalidation.stores import tracking, writes_are_seen
        from cache_invalidation.surfaces.querysets import answering
        from cache_invalidation.surfaces.tracked import units
        from cache_invalidation.writes import (
            bulk,
            commit,
            compiled,
            deletions,
            driver,
            migrations,
            receivers,
            saves,
            statements,
        )

        autodiscover_modules("invalidation")
        registry.settle()
        tracking.named_by_rules[:] = [registry.plain_names]
        receivers.install()
        saves.install()
        bulk.install()
        compiled.install()
        deletions.install()
        commit.install()
        driver.install()
        migrations.install()
        answering.install()
        draining.install()
        requests.install()
        one_by_one.install()
        watcher.install(statements.write)
        units.install()
        writes_are_seen()
