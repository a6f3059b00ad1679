"""The list of airports as JSON. The mixin is all that it has to do with the cache."""

from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from cache_invalidation.rest import CachedResponseMixin
from example_project.airports.models import Airport
from example_project.airports.queries import DAY, PAGE_SIZE


class AirportSerializer(ModelSerializer[Airport]):
    """Everything about an airport; the country by its code."""

    class Meta:
        model = Airport
        exclude = ["id"]


class Pages(PageNumberPagination):
    """As many as on a page of a country."""

    page_size = PAGE_SIZE


class Airports(CachedResponseMixin, ReadOnlyModelViewSet[Airport]):
    """By name, or with ``?search=`` and ``?ordering=``; one by its ICAO code."""

    cache_timeout = DAY
    queryset = Airport.objects.all()
    serializer_class = AirportSerializer
    pagination_class = Pages
    filter_backends = [SearchFilter, OrderingFilter]
    search_fields = ["=icao", "=iata", "=country__code", "name", "city"]
    ordering_fields = ["name", "icao", "elevation_ft"]
    lookup_field = "icao"
    lookup_value_regex = "[A-Z0-9_]{4}"
