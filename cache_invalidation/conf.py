"""The settings: one dict, ``CACHE_INVALIDATION``, whose keys are the attributes of `Settings`.

A value is looked up each time it is used and nothing is kept, so ``override_settings`` works.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, Generic, Literal, TypeVar, overload

from django.conf import settings as django_settings
from django.utils.functional import empty
from django.utils.module_loading import import_string

from cache_invalidation.exceptions import InvalidSetting

T = TypeVar("T")

LONGEST: Final = 10**9  # seconds; servers do not count much further


def of_django() -> Any:
    """Return Django's settings as they are now, not to be kept.

    They are those behind the lazy object, which takes its time for whatever it is asked, above all
    to tell that there is no such setting.
    """
    held: Any = object.__getattribute__(django_settings, "_wrapped")
    return django_settings if held is empty else held


def configured() -> Any:
    """Return what the project put into ``settings.CACHE_INVALIDATION``; not checked."""
    found = getattr(of_django(), "CACHE_INVALIDATION", None)
    return {} if found is None else found


class Setting(Generic[T]):
    """One key of the dict: its default, and how a value given for it is judged."""

    def __init__(self, default: T, parse: Callable[[Any], T]) -> None:
        self.default = default
        self.parse = parse

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "Setting[T] | T":
        return self if instance is None else self._now()

    def _now(self) -> T:
        values = configured()
        if not isinstance(values, dict):
            raise InvalidSetting(f"CACHE_INVALIDATION is {values!r}, which is not a dict.")
        if self.name not in values:
            return self.default
        return self.check(values[self.name])

    def usable(self) -> T:
        """Return the value, or the default if it cannot be used: a system check says so."""
        try:
            return self._now()
        except InvalidSetting:
            return self.default

    def check(self, value: Any) -> T:
        """Return `value` in the setting's type; raise `InvalidSetting` if it is not usable."""
        try:
            return self.parse(value)
        except (TypeError, ValueError) as error:
            message = f"CACHE_INVALIDATION[{self.name!r}] is {value!r}: {error}."
            raise InvalidSetting(message) from None


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("it must be a non-empty string")
    return value


def anything(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it must be a string")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("it must be True or False")
    return value


def one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"it must be one of {', '.join(map(repr, choices))}")
        return str(value)

    return parse


def optional(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else parse(value)


def number(value: Any) -> int | float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("it must be a number")
    return value


def seconds(value: Any) -> float:
    found = number(value)
    if not 0 <= found <= LONGEST:
        raise ValueError(f"it must be a number of seconds from zero to {LONGEST:,}")
    return float(found)


def positive_seconds(value: Any) -> float:
    found = number(value)
    if not 0 < found <= LONGEST:
        raise ValueError(f"it must be a number of seconds above zero and up to {LONGEST:,}")
    return float(found)


timeout = optional(positive_seconds)


def positive_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("it must be a whole number above zero")
    return value


def way_to_refresh(value: Any) -> str:
    path = text(value)
    if path != "threads":
        try:
            import_string(path)
        except ImportError as error:
            raise ValueError(f"it is neither 'threads' nor can it be imported: {error}") from None
    return path


def queries(value: Any) -> dict[str, float | Literal[False] | None]:
    if not isinstance(value, Mapping):
        raise TypeError("it must be a dict of labels and seconds")
    return {_pattern(label): _lifetime(label, found) for label, found in value.items()}


def _pattern(label: Any) -> str:
    if isinstance(label, str):
        app, dot, model = label.partition(".")
        if label == "*" or (dot and app.isidentifier() and (model == "*" or model.isidentifier())):
            return label.lower()
    raise ValueError(f"{label!r} is none of 'app.Model', 'app.*' and '*'")


def _lifetime(label: str, value: Any) -> float | Literal[False] | None:
    try:
        return False if value is False else timeout(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"for {label!r} there is {value!r}, and {error}, None for ever, or False for never"
        ) from None


def labels(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Collection):
        raise TypeError("it must be a list of labels")
    for label in value:
        if not isinstance(label, str) or not all(map(str.isidentifier, label.split(".", 1))):
            raise ValueError(f"{label!r} is neither the label of an app nor 'app.Model'")
    return tuple(value)


class Settings:
    """Typed, read-only view of ``settings.CACHE_INVALIDATION``."""

    # Alias in CACHES in which entries, versions and counters live.
    CACHE = Setting[str]("default", text)

    # "strict": fence the tags before COMMIT, lift after it; survives a killed writer.
    # "commit": act after COMMIT only; one round trip, a sub-millisecond window, no crash safety.
    CONSISTENCY = Setting[str]("strict", one_of("strict", "commit"))

    # Seconds after which the fence of a writer that never came back lapses.
    FENCE_TIMEOUT = Setting[float](10.0, positive_seconds)

    # What happens to a write of which the cache cannot be told. "outbox": it goes on, and what it
    # invalidates is written into the outbox by the same transaction. "abort": it is rolled back,
    # with `InvalidationAborted`. "ignore": it goes on, and everything that is cached is dropped
    # once this process sees the cache again.
    ON_STORE_FAILURE = Setting[str]("outbox", one_of("outbox", "abort", "ignore"))

    # Seconds by which a database replica that is read from may be behind.
    REPLICA_LAG = Setting[float](0.0, seconds)

    # Seconds an entry lives when `cached` is not told otherwise; None: until it is invalidated.
    DEFAULT_TIMEOUT = Setting[float | None](300.0, timeout)

    # Above this many tags of one family in one batch, the family tag stands in for them.
    ROW_TAG_LIMIT = Setting[int](500, positive_int)

    # Any text, such as the release: with another one, nothing is used that was computed before.
    CODE_VERSION = Setting[str]("", anything)

    # So many entries for one page or block at most: for users, cookies, parameters, headers that it
    # turns out to look at.
    VARIANT_LIMIT = Setting[int](1000, positive_int)

    # Say in each response what became of its page, as RFC 9211 has it; None: under DEBUG.
    CACHE_STATUS = Setting[bool | None](None, optional(boolean))

    # Models whose queries are cached by themselves, and for how many seconds: labels of models
    # ("auth.Permission"), of all models of an app ("shop.*"), or all ("*"), of which the narrowest
    # counts. None: until they are invalidated; False: not at all.
    QUERIES = Setting[Mapping[str, float | Literal[False] | None]]({}, queries)

    # Apps ("sessions") and models ("admin.LogEntry") that nobody watches: what is written there
    # invalidates nothing, and nothing that is cached may be read from there.
    EXCLUDE = Setting[tuple[str, ...]](("sessions", "migrations", "admin.LogEntry"), labels)

    # What happens if a cached function reads rows that none of its tags stands for: "warn" with a
    # `CacheDependencyWarning`, "error", "ignore"; None: "warn" under DEBUG and under test.
    UNDECLARED_READS = Setting[str | None](None, optional(one_of("warn", "error", "ignore")))

    # Seconds that callers of a `lock=True` function wait for the one that computes.
    LOCK_TIMEOUT = Setting[float](5.0, positive_seconds)

    # Where values of `refresh=True` functions are computed anew: in "threads" of the process that
    # has hit them, or by what this path names, such as "cache_invalidation.contrib.celery.refresh".
    REFRESH = Setting[str]("threads", way_to_refresh)

    # Seconds that a writer waits at most for processes that keep near what it changes, and do not
    # answer; the same in all processes of a project. 0: nobody is waited for, and what is kept near
    # is compared with the cache at each hit.
    NEAR_WAIT = Setting[float](0.25, seconds)

    # Bytes that the values may take which a process keeps near, of each alias.
    NEAR_BYTES = Setting[int](64 * 1024 * 1024, positive_int)

    # Seconds for which a store that failed is left alone before it is asked again.
    RETRY_INTERVAL = Setting[float](1.0, positive_seconds)

    # Seconds after which a process adds its read counters to those in the store.
    METRICS_FLUSH_INTERVAL = Setting[float](5.0, seconds)


def declared() -> Iterator[Setting[Any]]:
    """Iterate over every setting there is."""
    return (value for value in vars(Settings).values() if isinstance(value, Setting))


settings = Settings()
