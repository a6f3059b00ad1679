"""Which cached things an edit makes stale. Found by the app, as Django finds ``admin.py``.

Without a line in here everything would be right: what is cached depends on the rows and tables that
it reads. The rules make it precise. Tags are dropped for the row as it was and as it is: moving an
airport from one country to another refreshes both.
"""

from collections.abc import Iterator

from cache_invalidation import Change, ModelInvalidation, Tag, register
from example_project.airports.models import Airport, Country
from example_project.airports.search_area import tags_of_place


@register(Country)
class CountryInvalidation(ModelInvalidation):
    """Registered for its name; what is found out about countries is their rows."""

    entity_type = "country"


@register(Airport)
class AirportInvalidation(ModelInvalidation):
    entity_type = "airport"

    # Pages ask for one airport by its code, also for one which does not exist yet, and for those of
    # one country. They depend on these, and not on the whole table.
    track = ["icao", "country"]

    # How many each country has: only an airport that comes, goes or changes sides changes that.
    tags = [Tag("airports-per-country", fields=["country"])]


@register(Airport)
class NearbyInvalidation(ModelInvalidation):
    """What no query says: in which cells of the map the airport was and is."""

    fields = ["latitude", "longitude", "icao"]

    # No row is there to look at where it is not known which ones were written, as by raw SQL or
    # ``invalidate(Airport)``: then every cell of the map is dropped.
    families = ["near"]

    def get_tags(self, change: Change) -> Iterator[str]:
        """Yield the cells."""
        for state in change.instances:
            if isinstance(state, Airport):
                yield from tags_of_place(state.latitude, state.longitude)
