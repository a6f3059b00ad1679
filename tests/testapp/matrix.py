"""The models of the coverage matrix: one row, and everything that can hang on it."""

import django
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from tests.moments import EventfulText
from tests.testapp.named import Named

HAS_DB_CASCADE = django.VERSION >= (6, 1)


class Topic(Named):
    """Takes its items with it."""


class Shelf(Named):
    """Leaves its items without one."""


class Box(Named):
    """Leaves its items to the first box."""


class Label(Named):
    pass


class Fan(Named):
    pass


class Note(models.Model):
    text = models.CharField(max_length=100)
    # Apps without migrations get their tables before those that have some.
    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()

    def __str__(self) -> str:
        return self.text


class Item(models.Model):
    code = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=100)
    number = models.IntegerField(default=1)
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="items")
    shelf = models.ForeignKey(Shelf, models.SET_NULL, null=True, related_name="items")
    box = models.ForeignKey(Box, models.SET_DEFAULT, default=1, related_name="items")
    labels = models.ManyToManyField(Label, related_name="items")
    fans = models.ManyToManyField(Fan, through="Pick", related_name="items")
    notes = GenericRelation(Note)

    def __str__(self) -> str:
        return self.name


class Pick(models.Model):
    """Who likes which item, and how much."""

    item = models.ForeignKey(Item, models.CASCADE, related_name="picks")
    fan = models.ForeignKey(Fan, models.CASCADE, related_name="picks")
    stars = models.IntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.stars}"


class ItemProxy(Item):
    class Meta:
        proxy = True


class SpecialItem(Item):
    extra = EventfulText(max_length=100, default="")


class Bystander(Named):
    """Has nothing to do with any of them."""


if HAS_DB_CASCADE:

    class Branch(Named):
        """Its twigs fall with it, and the nests with those: the database does that."""

    class Bird(Named):
        pass

    class Twig(models.Model):
        branch = models.ForeignKey(Branch, models.DB_CASCADE, related_name="twigs")
        name = models.CharField(max_length=100)
        length = models.IntegerField(default=1)
        birds = models.ManyToManyField(Bird, through="Nest", related_name="twigs")

        def __str__(self) -> str:
            return self.name

    class Nest(models.Model):
        twig = models.ForeignKey(Twig, models.DB_CASCADE)
        bird = models.ForeignKey(Bird, models.DB_CASCADE)

        def __str__(self) -> str:
            return f"{self.pk}"
