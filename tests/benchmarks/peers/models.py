"""What is cached, with the manager of whoever is measured in this process."""

from typing import Any, ClassVar

from django.apps import apps
from django.db import models


def _manager() -> Any:
    if not apps.is_installed("cache_invalidation"):
        return models.Manager()  # The others give methods to all managers.
    from cache_invalidation.querysets import CachedQuerySet

    return CachedQuerySet.as_manager()


class Product(models.Model):
    name = models.CharField(max_length=100)
    text = models.TextField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.IntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[Any] = _manager()

    class Meta:
        app_label = "peers"
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name
