"""Which cached things an edit makes stale. Found by the app, as Django finds ``admin.py``.

Without a line in here a saved airport drops ``airports.airport`` ("any airport") and
``airports.airport:{pk}`` ("this one"), and a saved country likewise. The rule below adds the tags
that the functions in `queries` depend on. They are dropped for the row as it was and as it is:
moving an airport from one country to another refreshes both.
"""

from collections.abc import Iterator

from cache_invalidation import Change, ModelInvalidation, register
from example_project.airports.models import Airport, Country
from example_project.airports.search_area import tags_of_place


@register(Country)
class CountryInvalidation(ModelInvalidation):
    """Registered for the tags that every model has; pages of a country need no others."""

    entity_type = "country"


@register(Airport)
class AirportInvalidation(ModelInvalidation):
    entity_type = "airport"
    tags = [
        # By code and not by primary key, because visitors ask by code, also for one which does not
        # exist yet: creating it has to drop the remembered "there is none".
        "airport:{icao}",
        # The statistics of the country and the list of its airports.
        "country:{country_id}",
    ]

    # No row is there to look at where it is not known which ones were written, as by raw SQL or
    # ``invalidate(Airport)``: then every cell of the map is dropped, and whatever is counted.
    families = ["near", "statistics"]

    def get_tags(self, change: Change) -> Iterator[str]:
        """Yield what no template can say: cells of the map, and whether a country gained or lost.

        The row as it was and as it is are the `instances` of the change.
        """
        states = [state for state in change.instances if isinstance(state, Airport)]
        for state in states:
            yield from tags_of_place(state.latitude, state.longitude)
        # The same country before and after is the one case in which no country's count changes.
        if len(states) < 2 or states[0].country_id != states[1].country_id:
            yield "statistics:airports-per-country"
