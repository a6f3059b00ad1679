"""The list of airports as JSON. The mixin is all that it needs to be cached.

That the list is one of codes, until it is known which of them are on the page, makes it precise: it
is dropped by what changes in these airports, and not by what changes in any.
"""

from collections.abc import Sequence
from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from cache_invalidation.rest import CachedResponseMixin
from example_project.airports import queries
from example_project.airports.models import Airport


class AirportSerializer(ModelSerializer[Airport]):
    """Everything about an airport; the country by its code."""

    class Meta:
        model = Airport
        exclude = ["id"]


class Pages(PageNumberPagination):
    """As many as on a page of a country."""

    page_size = queries.PAGE_SIZE


class Airports(CachedResponseMixin, ReadOnlyModelViewSet[Airport]):
    """By ICAO code, or those that ``?search=`` finds; one by its code."""

    cache_timeout = queries.DAY
    queryset = Airport.objects.all()
    serializer_class = AirportSerializer
    pagination_class = Pages
    lookup_field = "icao"
    lookup_value_regex = "[A-Z0-9_]{4}"

    def filter_queryset(self, queryset: Any) -> Any:
        if self.action == "list":
            return queries.codes_found(self.request.query_params.get("search", "").strip())
        return super().filter_queryset(queryset)

    def paginate_queryset(self, queryset: Any) -> Any:
        codes: Sequence[str] = super().paginate_queryset(queryset) or ()
        found = self.get_queryset().in_bulk(codes, field_name="icao")
        return [found[code] for code in codes if code in found]
