"""Which calls are hit most, with their arguments, so that they can be made when nobody waits.

One hit of so many is noted. Calls whose values are made for one person are not: what is known of
that is in `is_for_anybody` and `_is_personal`, and where it is in doubt, they are left out.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import random
from threading import Lock
from time import monotonic
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured

from cache_invalidation.conf import Settings
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.reads.kept_calls import Arguments, write_down
from cache_invalidation.reads.recomputing import Locale
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import CALL_SIZE

logger = logging.getLogger("cache_invalidation")

#: Of so many hits, one is noted.
SAMPLED: Final = 64

_WAITING: Final = 200  # calls at most until they are sent

# What a value may vary on without being for one person.
_FOR_MANY: Final = frozenset({"language", "timezone"})

# A parameter that has one of these words in its name says who asks.
_PERSONAL: Final = frozenset(
    [
        *("user", "userid", "username", "uid", "account", "customer", "member", "owner", "profile"),
        *("visitor", "request", "session", "cookie", "cart", "basket", "ip"),
        *("email", "phone", "login", "password", "secret", "token"),
    ]
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a cached function, as it was written down.

    `key` is that of its entry where nothing varies, and `place` where that was kept for whoever was
    served: another one says that it was for another tenant.
    """

    name: str
    key: str
    place: str
    locale: Locale
    arguments: tuple[list[Any], dict[str, Any]]

    def encoded(self) -> bytes:
        about = self.name, self.key, self.place, self.locale.language, self.locale.zone
        return get_store().encode([*about, *self.arguments])

    @classmethod
    def decoded(cls, raw: bytes) -> "Call":
        """Return the call; raise `ValueError` or `TypeError` if it is unreadable."""
        name, key, place, language, zone, args, kwargs = get_store().decode(raw)
        return cls(name, key, place, Locale(language, zone), (args, kwargs))


def is_chosen() -> bool:
    """Whether this hit is one of those that are noted."""
    return random() * SAMPLED < 1  # noqa: S311 - nobody is to guess it


def is_for_anybody(varies: Iterable[str], parameters: Iterable[str]) -> bool:
    """Whether a function with these `parameters` may make values for more than one person."""
    words = {word for name in parameters for word in _words(name)}
    return _FOR_MANY.issuperset(varies) and _PERSONAL.isdisjoint(words)


def _words(name: str) -> list[str]:
    """Return the words of a name, such as ``user`` and ``id`` of ``userId``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("*")).lower().split("_")


def _is_personal(written: Any) -> bool:
    """Whether an argument that was written down is a user, or what stands for one."""
    kind, value, *_ = written
    if kind == "row":
        model = apps.get_model(value)
        related = [field.related_model for field in model._meta.fields if field.one_to_one]
        return any(isinstance(each, type) and _is_user(each) for each in (model, *related))
    return kind in ("tuple", "frozenset") and any(map(_is_personal, value))


def _is_user(model: type[Any]) -> bool:
    try:
        return issubclass(model, get_user_model())
    except ImproperlyConfigured:
        return False  # The project has none.


class Hottest:
    """The hits of this process that were noted and not sent yet."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._hits: Counter[bytes] = Counter()
        self._send_at = 0.0

    def note(self, function: Any, call: Arguments) -> None:
        """Note a hit of `function`; raise nothing, and leave out what cannot be kept."""
        try:
            if (raw := _raw(function, call)) is None:
                return
            with self._lock:
                self._hits[raw] += 1
                is_time = len(self._hits) >= _WAITING or monotonic() >= self._send_at
            if is_time:
                self.send()
        except Exception:
            logger.debug("A call of %r is not noted.", function, exc_info=True)

    def send(self) -> None:
        """Add what was noted to what is in the store, and lose it if that is down."""
        with self._lock:
            hits, self._hits = self._hits, Counter()
            self._send_at = monotonic() + Settings.METRICS_FLUSH_INTERVAL.usable()
        if hits:
            try:
                get_store().count_calls(hits)
            except CacheInvalidationError:
                return


def _raw(function: Any, call: Arguments) -> bytes | None:
    args, kwargs = call
    if not is_for_anybody((), kwargs):
        return None
    written = write_down(args, kwargs)
    if any(map(_is_personal, [*written[0], *written[1].values()])):
        return None
    signature, here, varies = function.signature, Locale.now(), function.varying.names
    key = signature.key(signature.bind(args, kwargs))
    locale = Locale(
        here.language if "language" in varies else None, here.zone if "timezone" in varies else None
    )
    raw = Call(signature.name, key, get_store().entry_place(key), locale, written).encoded()
    return raw if len(raw) <= CALL_SIZE else None


hottest = Hottest()

os.register_at_fork(after_in_child=hottest._forget)
