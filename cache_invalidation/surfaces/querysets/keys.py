"""From the SQL of a query and its parameters to the key of its rows."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from json import dumps
from typing import Any, Final

import django
from django.conf import settings as django_settings
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.reads.spelling import PLAIN, full_name, spell
from cache_invalidation.reads.varying import code_version

# Drivers may return values of other types in another version.
_VERSION: Final = django.get_version()


def key_of(
    name: str, connection: BaseDatabaseWrapper, text: str, params: Sequence[Any], part: str
) -> str:
    """Return the key for the `part` of what this query returns.

    Raises `TypeError` for a parameter that has no spelling.
    """
    lines = [
        # An alias may lead to another database, as in tests, or for another tenant.
        *(part, connection.alias, str(connection.settings_dict["NAME"])),
        *(connection.timezone_name, str(django_settings.USE_TZ)),
        *(_VERSION, code_version(), text),
        *map(_spelled, params),
    ]
    # With their lengths, so that no text can be taken for the end of one and the next.
    spelled = "\n".join([f"{len(line)}:{line}" for line in lines])
    digest = blake2b(spelled.encode("utf-8", "surrogatepass"), digest_size=12).digest()
    return f"{name}:{urlsafe_b64encode(digest).decode()}"


def _spelled(value: Any) -> str:
    """Return the spelling of a parameter, as it is at this moment: a list may change later."""
    kind = type(value)
    if kind in PLAIN:
        return spell(value)
    if kind in _CONTAINERS:
        return f"{kind.__name__}:{_CONTAINERS[kind](value)}"
    if kind.__module__.partition(".")[0] in ("psycopg", "psycopg2") and not isinstance(value, int):
        return f"{full_name(kind)}:{_spelled_for_driver(value)}"
    return spell(value)


def _items(values: Any) -> str:
    return "".join([f"{len(each)}:{each}" for each in map(_spelled, values)])


_CONTAINERS: Final[Mapping[type, Callable[[Any], str]]] = {
    list: _items,
    tuple: _items,
    dict: lambda value: _items([each for pair in value.items() for each in pair]),
    memoryview: lambda value: spell(bytes(value)),
    bytearray: lambda value: spell(bytes(value)),
}


def _spelled_for_driver(value: Any) -> str:
    """Return what is in one of the driver's own types: JSON, bytes and ranges."""
    for name in ("obj", "adapted"):  # In version 3 and in version 2.
        if hasattr(value, name):
            inner = getattr(value, name)
            is_json = hasattr(value, "dumps")
            return str((value.dumps or dumps)(inner)) if is_json else _spelled(inner)
    if hasattr(value, "bounds"):
        return _items([value.lower, value.upper, value.bounds])
    raise TypeError(f"a {full_name(type(value))} has no spelling")
