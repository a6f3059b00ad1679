"""Models whose own code runs in the middle of a save."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

from django.core.files.storage import InMemoryStorage
from django.db import models

from tests.testapp.named import Named


class HookedField(models.IntegerField):  # type: ignore[type-arg]
    """Calls what a test has put here, right before its table is written."""

    hook: ClassVar[Callable[[Any], object] | None] = None

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        if HookedField.hook is not None:
            HookedField.hook(model_instance)
        return super().pre_save(model_instance, add)


class Building(Named):
    pass


class Depot(Building):
    """Its parent's table is written before the hook of its field is called."""

    bays = HookedField(default=0)


class Garage(Building):
    """A building may be a depot and a garage at once."""

    cars = models.IntegerField(default=0)


class Kiosk(Building):
    """Like a `Garage`, with a key of its own."""

    building = models.OneToOneField(Building, models.CASCADE, parent_link=True)
    code = models.CharField(max_length=100, primary_key=True)


class Parcel(models.Model):
    """A plain model, with a field whose hook is called."""

    name = models.CharField(max_length=100, default="")
    weight = HookedField(default=0)
    value = models.IntegerField(default=0)
    label = models.FileField(upload_to="labels", storage=InMemoryStorage(), default="")


class Crate(Parcel):
    """Its parent's table has the field whose hook is called."""

    width = models.IntegerField(default=0)


class Pallet(models.Model):
    """SQLite is given its keys as text."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    name = models.CharField(max_length=100, default="")
    weight = HookedField(default=0)
    value = models.IntegerField(default=0)
