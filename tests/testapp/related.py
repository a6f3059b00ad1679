"""Many-to-many relations of every shape for which Django makes the table between, or does not."""

from django.db import models

from tests.testapp.models import Restaurant, Tag, Voucher
from tests.testapp.named import Named


class Pal(Named):
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")
    restaurants = models.ManyToManyField(Restaurant, related_name="pals")
    vouchers = models.ManyToManyField(Voucher, related_name="pals")
    tags = models.ManyToManyField(Tag, through="PalTag", related_name="pals")


class BestPal(Pal):
    """Inherits its relations from the table of its parent."""

    since = models.IntegerField(default=0)


class OldPal(Pal):
    """Another child, whose row may be that of a `BestPal` as well."""


class PalProxy(Pal):
    class Meta:
        proxy = True


class PalTag(models.Model):
    """Passes for a table that Django has made, so that its relation can be edited in the admin."""

    pal = models.ForeignKey(Pal, models.CASCADE)
    tag = models.ForeignKey(Tag, models.CASCADE)
    weight = models.IntegerField(default=1)

    class Meta:
        auto_created = True

    def __str__(self) -> str:
        return f"{self.pk}"


class Held(models.Model):
    """Keeps what it refers to from being deleted."""

    pal = models.ForeignKey(Pal, models.PROTECT, null=True)
    voucher = models.ForeignKey(Voucher, models.RESTRICT, null=True)

    def __str__(self) -> str:
        return f"{self.pk}"


class Volume(models.Model):
    volume_id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title


class Article(models.Model):
    article_id = models.BigAutoField(primary_key=True)
    headline = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.headline


class Essay(Volume, Article):
    """Has two parents, so it shares its key with one of them only."""

    words = models.IntegerField(default=0)
