"""Editing. Nothing in here has to know about the cache.

The mixin is for those who want to invalidate by hand all the same.
"""

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from cache_invalidation.admin import InvalidateCacheMixin
from example_project.airports.models import Airport, Country


@admin.register(Airport)
class AirportAdmin(InvalidateCacheMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["icao", "iata", "name", "city", "country", "elevation_ft"]
    list_display_links = ["icao", "name"]
    list_filter = [
        ("iata", admin.EmptyFieldListFilter),
        ("country", admin.RelatedOnlyFieldListFilter),
    ]
    list_select_related = ["country"]
    search_fields = ["=icao", "=iata", "name", "city"]
    autocomplete_fields = ["country"]
    show_full_result_count = False


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["code", "name", "airport_count"]
    list_display_links = ["code", "name"]
    search_fields = ["=code", "name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Country]:
        countries: QuerySet[Country] = super().get_queryset(request)
        return countries.annotate(count=Count("airports"))

    def get_readonly_fields(
        self,
        request: HttpRequest,
        obj: Country | None = None,
    ) -> list[str]:
        # The code is the primary key: saving another one would make a second country.
        return ["code"] if obj else []

    @admin.display(description="airports", ordering="count")
    def airport_count(self, country: Country) -> int:
        return country.count  # type: ignore[attr-defined,no-any-return]
