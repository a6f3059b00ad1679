"""Models whose instances do not have what is in the row: they have its name in lower case."""

from collections.abc import Sequence
from typing import Any, Self

from django.core.files.storage import InMemoryStorage
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init
from django.dispatch import receiver

from tests.testapp.named import Named


class _Named(models.Model):
    name = models.CharField(max_length=100)
    rank = models.IntegerField(default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class LowerByInit(_Named):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = self.name.lower()


class LowerByLoading(_Named):
    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **options: Any) -> Self:
        row = super().from_db(db, field_names, values, **options)
        row.name = row.name.lower()
        return row


class LowerByReceiver(_Named):
    """See `_make_lower`."""


@receiver(post_init, sender=LowerByReceiver)
def _make_lower(instance: LowerByReceiver, **kwargs: Any) -> None:
    instance.name = instance.name.lower()


class LowerBySetting(_Named):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.lower() if name == "name" else value)


class _LowerWhenSet(DeferredAttribute):
    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value.lower()


class LowerWhenSetField(models.CharField):  # type: ignore[type-arg]
    descriptor_class = _LowerWhenSet


class LowerWhenSet(_Named):
    name = LowerWhenSetField(max_length=100)


class _LowerWhenRead(DeferredAttribute):
    def __get__(self, instance: Any, cls: Any = None) -> Any:
        found = super().__get__(instance, cls)
        return found if instance is None else found.lower()

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class LowerWhenReadField(models.CharField):  # type: ignore[type-arg]
    descriptor_class = _LowerWhenRead


class LowerWhenRead(_Named):
    name = LowerWhenReadField(max_length=100)


class _LowerName:
    @property
    def name(self) -> str:
        return str(self.__dict__["name"]).lower()

    @name.setter
    def name(self, value: str) -> None:
        self.__dict__["name"] = value


class LowerByProperty(_LowerName, models.Model):
    """Django leaves an attribute in its place that is there already."""

    name = models.CharField(max_length=100)
    rank = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name


def _rename(instance: "Filed", filename: str) -> str:
    instance.name = "new"  # After the value of its column was taken.
    return filename


class Filed(Named):
    file = models.FileField(upload_to=_rename, storage=InMemoryStorage())


class OfLower(models.Model):
    """Refers to a row that is not shown as it is."""

    owner = models.ForeignKey(LowerByInit, models.CASCADE)

    def __str__(self) -> str:
        return f"{self.pk}"


LOWER: Sequence[type[models.Model]] = (
    LowerByInit,
    LowerByLoading,
    LowerByReceiver,
    LowerBySetting,
    LowerWhenSet,
    LowerWhenRead,
    LowerByProperty,
)
