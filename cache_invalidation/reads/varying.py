"""What a function varies on besides its arguments: what is in force where it is called."""

import inspect
import pickle
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.timezone import get_current_timezone, get_default_timezone
from django.utils.translation import get_language, trans_real

from cache_invalidation.conf import Settings, of_django
from cache_invalidation.context import is_unset, variable_of
from cache_invalidation.reads.spelling import dotted_name, is_found_by_name, spell

Source = str | Callable[[], Any]

_ZONE: Final = variable_of(getattr(timezone, "_active", None))


def language_now() -> str | None:
    """Return the code of the language that is in force; None if nothing is to be translated."""
    # Asked for each time: `django.test` puts another one there when a test changes LANGUAGE_CODE.
    variable = variable_of(getattr(trans_real, "_active", None))
    return of_django().LANGUAGE_CODE if is_unset(variable) else get_language()


def zone_now() -> str | bytes:
    """Return what tells the time zone that is in force from others, some of which have its name.

    Raises `TypeError` for one that no other process knows.
    """
    zone = get_default_timezone() if is_unset(_ZONE) else get_current_timezone()
    if type(zone) is ZoneInfo:
        return _spelled(zone)
    with suppress(TypeError):
        return spell(zone)
    try:
        return pickle.dumps(zone)  # It is of a library, such as pytz.
    except Exception:  # noqa: BLE001 - of whatever class it is
        raise TypeError(f"{zone} is no time zone that others know") from None


# Of these, none is equal to another one.
@lru_cache(maxsize=1000)
def _spelled(zone: ZoneInfo) -> str:
    return spell(zone)


#: What can be named, and what it is now.
NAMED: Final[Mapping[str, Callable[[], Any]]] = {"language": language_now, "timezone": zone_now}

_numbers = count()

# What is called for a name, in this process.
_sources: dict[str, Callable[[], Any]] = {}


class Varying:
    """What `vary_on` of one function says, looked at when it is declared.

    `names` are those of its sources; each stands for the same thing in every process, but for those
    of functions that cannot be found by their names, which end in ``@`` and a number.
    """

    def __init__(self, vary_on: Source | Iterable[Source] | None, caller: str) -> None:
        self._caller = caller
        listed = () if vary_on is None else self._listed(vary_on)
        self._sources = {self._name(source): self._called(source) for source in listed}
        self.names = frozenset(self._sources)
        _sources.update(self._sources)

    def _listed(self, vary_on: Any) -> list[Any]:
        if isinstance(vary_on, str) or callable(vary_on):
            return [vary_on]
        if isinstance(vary_on, Mapping | bytes) or not isinstance(vary_on, Iterable):
            raise self._wrong(vary_on)
        return list(vary_on)

    def _wrong(self, found: Any) -> TypeError:
        return TypeError(
            f"{self._caller}(): vary_on= names {found!r}; it takes a list of "
            f"{', '.join(map(repr, NAMED))} and functions without arguments that return what the "
            "value is for."
        )

    def _called(self, source: Any) -> Callable[[], Any]:
        found: Any = NAMED.get(source) if isinstance(source, str) else source
        if not callable(found) or not _takes_nothing(found):
            raise self._wrong(source)
        return cast(Callable[[], Any], found)

    @staticmethod
    def _name(source: Any) -> str:
        if isinstance(source, str):
            return source
        name = dotted_name(source)
        return name if is_found_by_name(source) else f"{name}@{next(_numbers)}"

    def now(self) -> dict[str, str]:
        """Return the values now, by name, spelled as in a key.

        Raises `TypeError` for one that cannot be part of a key, and what the functions raise.
        """
        return {name: self._spell(name, source()) for name, source in self._sources.items()}

    def _spell(self, name: str, value: Any) -> str:
        try:
            return spell(value)
        except TypeError as error:
            raise TypeError(
                f"{self._caller}() cannot be cached for what {name}() returns: {error}."
            ) from None


def _takes_nothing(function: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(function):
        return False
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:
        pass  # One of those written in C that do not say what they take.
    return True


def is_nameless(name: str) -> bool:
    """Whether the name means something in this process only."""
    return "@" in name


def current(name: str) -> str:
    """Return what the source of this name says now; raise `LookupError` if it is not known here."""
    return spell(_sources[name]())


def code_version() -> str:
    """Return ``CODE_VERSION``; a system check says so if it cannot be used."""
    try:
        return Settings.CODE_VERSION.usable()
    except ImproperlyConfigured:
        return ""  # Keys can be made before there are settings.
