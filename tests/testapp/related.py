"""Many-to-many relations of every shape for which Django makes the table between, or does not."""

from django.db import models

from tests.testapp.models import Restaurant, Tag, Voucher


class Pal(models.Model):
    name = models.CharField(max_length=100)
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")
    restaurants = models.ManyToManyField(Restaurant, related_name="pals")
    vouchers = models.ManyToManyField(Voucher, related_name="pals")
    tags = models.ManyToManyField(Tag, through="PalTag", related_name="pals")

    def __str__(self) -> str:
        return self.name


class BestPal(Pal):
    """Inherits its relations from the table of its parent."""

    since = models.IntegerField(default=0)


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
