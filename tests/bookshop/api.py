"""The books as JSON: those of a category, and each."""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.pagination import PageNumberPagination
from rest_framework.viewsets import ReadOnlyModelViewSet

from cache_invalidation.rest import CachedResponseMixin
from tests.bookshop import queries
from tests.bookshop.models import Book


class BookSerializer(serializers.ModelSerializer[Book]):
    author = serializers.CharField(source="author.name")
    tags: Any = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)

    class Meta:
        model = Book
        fields = ["id", "title", "price", "category", "author", "tags"]


class Pages(PageNumberPagination):
    page_size = 20


class Books(CachedResponseMixin, ReadOnlyModelViewSet[Book]):
    """A list is one of keys until it is known which of them are on the page."""

    authentication_classes = ()
    cache_timeout = queries.DAY
    queryset = Book.objects.select_related("author").prefetch_related("tags")
    serializer_class = BookSerializer
    pagination_class = Pages

    def filter_queryset(self, queryset: Any) -> Any:
        if self.action == "list":
            return queries.by_title(int(self.request.query_params["category"]))
        return super().filter_queryset(queryset)

    def paginate_queryset(self, queryset: Any) -> Any:
        keys: Sequence[int] = super().paginate_queryset(queryset) or ()
        found = self.get_queryset().in_bulk(keys)
        return [found[key] for key in keys if key in found]
