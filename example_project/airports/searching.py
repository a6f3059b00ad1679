"""Which searches an airport is a result of, as far as tags have to tell.

A search asks for a code, or for how a name or a city begins. It depends on its first two letters:
an airport is told by those of each value that it gets or loses.
"""

from collections.abc import Iterable, Iterator

from django.db.models import Q

FIELDS = ("icao", "iata", "country_id", "name", "city")

# Databases do not agree about which letters of other alphabets are the same in upper case.
_OTHER = "search:other"


def matching(text: str) -> Q:
    """Return what the results of a search meet."""
    is_code = Q(icao__iexact=text) | Q(iata__iexact=text) | Q(country__code__iexact=text)
    return is_code | Q(name__istartswith=text) | Q(city__istartswith=text)


def tags_of_search(text: str) -> list[str]:
    """Return the tags that a search depends on; one for nothing finds all that there are."""
    return [_tag(text[:2]), _OTHER] if text else ["airports"]


def tags_of_values(values: Iterable[str]) -> Iterator[str]:
    """Yield the tags of the searches that may find an airport by one of `values`."""
    for value in values:
        yield from (_tag(value[:1]), _tag(value[:2]))


def _tag(letters: str) -> str:
    return f"search:{letters.lower()}" if letters.isascii() else _OTHER
