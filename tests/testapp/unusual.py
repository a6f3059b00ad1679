"""Models that Django allows and that few projects have: each broke an assumption once."""

from typing import Any
from uuid import uuid4

from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from tests.testapp.models import Place, Restaurant
from tests.testapp.named import Named


class Ordered(models.Model):
    """Its order needs a parameter of its own in every query."""

    name = models.CharField(max_length=100)
    rank = models.IntegerField(null=True)

    class Meta:
        ordering = [Coalesce("rank", Value(7))]

    def __str__(self) -> str:
        return self.name


class Generated(models.Model):
    """One column is computed by the database."""

    number = models.IntegerField()
    double = models.GeneratedField(
        expression=F("number") * 2, output_field=models.IntegerField(), db_persist=True
    )

    def __str__(self) -> str:
        return f"{self.number}"


class GeneratedFirst(models.Model):
    """The column that is computed comes before all others."""

    double = models.GeneratedField(
        expression=F("number") * 2, output_field=models.IntegerField(), db_persist=True
    )
    code = models.CharField(max_length=100, primary_key=True)
    number = models.IntegerField()

    def __str__(self) -> str:
        return self.code


class Shop(Place):
    """A multi-table child whose primary key is not that of its parent."""

    place_link = models.OneToOneField(Place, models.CASCADE, parent_link=True)
    code = models.CharField(max_length=100, primary_key=True)


class Diner(Restaurant):
    """A grandchild, whose rows are in three tables."""

    stools = models.IntegerField(default=0)


class LowerField(models.CharField):  # type: ignore[type-arg]
    """Stores something else than it was given."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return None if value is None else value.lower()


class Mail(models.Model):
    address = LowerField(max_length=100)

    def __str__(self) -> str:
        return str(self.address)


class Vector:
    """Two of them do not compare to one truth, as it is with arrays."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        raise ValueError("The truth of a comparison is ambiguous.")

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]


class VectorField(models.IntegerField):  # type: ignore[type-arg]
    def from_db_value(self, value: int, expression: Any, connection: Any) -> Vector:
        return Vector(value)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        return getattr(value, "number", value)


class Vec(models.Model):
    vector = VectorField()

    def __str__(self) -> str:
        return f"{self.pk}"


class Composite(models.Model):
    """Two columns are the primary key, and one of them is made up here."""

    pk = models.CompositePrimaryKey("tenant", "number")
    tenant = models.IntegerField()
    number = models.UUIDField(default=uuid4)
    group = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tenant}/{self.number}"


class Person(models.Model):
    code = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.code


class Club(Named):
    """Names its members by something else than their primary keys."""

    members = models.ManyToManyField(Person, through="Member", related_name="clubs")


class Member(models.Model):
    club = models.ForeignKey(Club, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE, to_field="code")

    def __str__(self) -> str:
        return f"{self.pk}"


class Unarchived(models.Manager):  # type: ignore[type-arg]
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(archived=False)


class Letter(models.Model):
    """Its managers hide rows, those that Django itself uses included."""

    subject = models.CharField(max_length=100)
    archived = models.BooleanField(default=False)

    objects = Unarchived()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.subject
