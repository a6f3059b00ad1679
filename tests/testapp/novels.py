"""Models whose querysets can be cached, with columns of many types."""

from datetime import date, time, timedelta
from typing import Any
from uuid import uuid4

from django.db import models

from cache_invalidation.querysets import CachedQuerySet
from tests.testapp.named import Named


class Genre(Named):
    objects = CachedQuerySet.as_manager()


class Writer(Named):
    born = models.DateField(null=True)
    genres = models.ManyToManyField(Genre, related_name="writers")

    objects = CachedQuerySet.as_manager()


class NovelQuerySet(models.QuerySet["Novel"]):
    """A project's own, which is mixed with ours."""

    def cheap(self) -> Any:
        return self.filter(price__lt=10)


class CachedNovelQuerySet(CachedQuerySet["Novel"], NovelQuerySet):  # type: ignore[override]
    pass


class Novel(Named):
    writer = models.ForeignKey(Writer, models.CASCADE, related_name="novels", null=True)
    genres = models.ManyToManyField(Genre, related_name="novels")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    pages = models.IntegerField(default=0)
    published = models.DateTimeField(null=True)
    printed = models.DateField(default=date(2001, 2, 3))
    read_at = models.TimeField(default=time(4, 5, 6))
    takes = models.DurationField(default=timedelta(hours=7))
    isbn = models.UUIDField(default=uuid4)
    cover = models.BinaryField(default=b"\x00\xff")
    facts = models.JSONField(default=dict)
    weight = models.FloatField(default=0.1)
    sold_out = models.BooleanField(default=False)

    objects = CachedNovelQuerySet.as_manager()


class Sequel(Novel):
    """Has a part of its row in the table of another model."""

    number = models.IntegerField(default=2)
