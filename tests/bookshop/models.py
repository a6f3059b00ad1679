"""A bookshop, with every relation that lists of a site usually show."""

from decimal import Decimal

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from cache_invalidation.querysets import CachedQuerySet
from tests.testapp.named import Named


class Category(Named):
    pass


class Tag(Named):
    pass


class Person(AbstractBaseUser):
    """Writes books, or about them, and logs in for that."""

    name = models.CharField(max_length=100)

    USERNAME_FIELD = "name"


class Comment(models.Model):
    text = models.CharField(max_length=100)
    # Apps without migrations get their tables before those that have some.
    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()

    def __str__(self) -> str:
        return self.text


class Book(models.Model):
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=Decimal(10))
    stock = models.IntegerField(default=100)
    category = models.ForeignKey(Category, models.CASCADE, related_name="books")
    author = models.ForeignKey(Person, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")
    comments = GenericRelation(Comment)

    objects = CachedQuerySet.as_manager()

    def __str__(self) -> str:
        return self.title


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    writer = models.ForeignKey(Person, models.CASCADE, related_name="reviews")
    rating = models.IntegerField(default=3)
    text = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.text


class Sale(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="sales")
    copies = models.IntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.copies}"
