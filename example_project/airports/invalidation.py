"""Which cached things an edit makes stale. Found by the app, as Django finds ``admin.py``.

Without a line in here everything would be right: what is cached depends on the rows and tables that
it reads. The rules make it precise: each list is dropped by what changes which airports are in it,
and each page by what it shows of these. Tags are dropped for the row as it was and as it is: moving
an airport from one country to another refreshes both.
"""

from collections.abc import Iterator

from django.contrib.admin.models import LogEntry

from cache_invalidation import Change, ModelInvalidation, Tag, register
from example_project.airports import geo, searching
from example_project.airports.models import Airport, Country


@register(Country)
class CountryInvalidation(ModelInvalidation):
    """Registered for its name; what is found out about countries is their rows."""

    entity_type = "country"


@register(Airport)
class AirportInvalidation(ModelInvalidation):
    entity_type = "airport"

    # Pages ask for airports by their codes, also for one which does not exist yet. They depend on
    # these, and not on the whole table.
    track = ["icao"]
    # Lists of airports do not show these. If nothing else changes, they stay.
    volatile = ["latitude", "longitude", "timezone"]

    tags = [
        Tag("airports", fields=["icao"]),
        Tag("airports-of:{country_id}", fields=["country", "icao"]),
        Tag("airports-per-country", fields=["country"]),
        Tag("figures:{country_id}", fields=["country", "iata", "subdivision", "timezone"]),
        # The highest and the lowest, and those farthest north and south.
        Tag("elevation_ft:{elevation_band}", fields=["elevation_ft", "icao"]),
        Tag(
            "elevation_ft:{elevation_band}:{country_id}", fields=["elevation_ft", "country", "icao"]
        ),
        Tag("latitude:{latitude_band}", fields=["latitude", "icao"]),
    ]


# What no template can say, code does. No row is there to look at where it is not known which ones
# were written, as by raw SQL or ``invalidate(Airport)``: then the whole of `families` is dropped.


@register(Airport)
class MapInvalidation(ModelInvalidation):
    """On which squares of the map the airport was and is."""

    fields = ["icao", "iata", "name", "country", "latitude", "longitude"]
    families = ["square"]

    def get_tags(self, change: Change) -> Iterator[str]:
        for state in change.instances:
            if isinstance(state, Airport):
                for square in geo.squares((state.latitude, state.longitude)):
                    yield "square:{}:{}:{}".format(*square)


@register(Airport)
class SearchInvalidation(ModelInvalidation):
    """Which searches find the airport now, or do not any longer."""

    fields = ["icao", "iata", "country", "name", "city"]
    families = ["search"]

    def get_tags(self, change: Change) -> Iterator[str]:
        before, after = (
            {(field, getattr(state, field)) for field in searching.FIELDS} if state else set()
            for state in (change.old, change.new)
        )
        yield from searching.tags_of_values(value for _, value in before ^ after)


@register(LogEntry)
class EditsInvalidation(ModelInvalidation):
    """Whoever is logged in is shown their own edits, and those of others do not matter."""

    track = ["user"]
