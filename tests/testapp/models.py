"""Models with every kind of relation that invalidation has to follow."""

from decimal import Decimal
from uuid import uuid4

from django.db import models
from django.utils.functional import cached_property

from cache_invalidation.querysets import CachedQuerySet
from tests.testapp.named import Named


class Category(Named):
    slug = models.SlugField(max_length=100, default="")

    objects = CachedQuerySet.as_manager()


class Tag(Named):
    pass


class Product(Named):
    slug = models.SlugField(max_length=100, default="")
    price = models.DecimalField(max_digits=10, decimal_places=2, default=Decimal(0))
    stock = models.IntegerField(default=0)
    category = models.ForeignKey(Category, models.CASCADE, null=True, related_name="products")
    featured_in = models.ForeignKey(
        Category, models.SET_NULL, null=True, related_name="featured_products"
    )
    tags = models.ManyToManyField(Tag, related_name="products")
    created = models.DateTimeField(auto_now_add=True)

    objects = CachedQuerySet.as_manager()


class ProductProxy(Product):
    class Meta:
        proxy = True


class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE, related_name="reviews")
    text = models.TextField(default="")
    rating = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.text


class Place(Named):
    city = models.CharField(max_length=100, default="")


class Restaurant(Place):
    """Multi-table inheritance: one row here and one in `Place`."""

    cuisine = models.CharField(max_length=100, default="")


class Author(Named):
    @cached_property
    def initial(self) -> str:
        return self.name[:1]


class Book(models.Model):
    title = models.CharField(max_length=100)
    authors = models.ManyToManyField(Author, through="Authorship", related_name="books")

    def __str__(self) -> str:
        return self.title


class Authorship(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)
    book = models.ForeignKey(Book, models.CASCADE)
    role = models.CharField(max_length=100, default="")

    def __str__(self) -> str:
        return self.role


class Counter(models.Model):
    """A number to race for."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)
    group = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Voucher(models.Model):
    """Keyed by a value that is made up here and not by the database."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    code = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.code


class Unregistered(Named):
    """A model that no rule mentions."""


# Last, because one has a child of `Place`; they are imported here to get their tables.
from tests.testapp import halfway, loading, matrix, novels, related, stored, unusual  # noqa: E402, F401
