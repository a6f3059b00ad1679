"""For tools that watch how the cache is used: they are told of lookups, and of what these cause.

While nobody is in `observers`, a hit looks at an empty list, and that is all.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

logger = logging.getLogger("cache_invalidation")

Work = Literal["compute", "encode", "fence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One lookup of what is called `name`, a function or a page, say, which took `seconds`.

    `cause` is why it is a miss, as far as that is known at once: ``"gone"`` if nothing was there,
    ``"invalidated"`` if a value was whose tags `dropped` are not what they were, ``"unreadable"``,
    ``"unknown"``; "" if it is none. `tags` are what a hit depends on.
    """

    name: str
    key: str
    outcome: Literal["hits", "misses", "bypasses"]
    seconds: float
    cause: str = ""
    dropped: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A value that was computed for `name`, in so many `seconds`, and what it depends on.

    `reasons` say why it was not stored, as in ``not_stored`` of the metrics; none if it was.
    """

    name: str
    seconds: float
    tags: tuple[str, ...]
    reasons: tuple[str, ...]


class Observer:
    """Overrides what it wants to know. It is called in the thread that does what it is told of.

    What it raises changes nothing, and is logged once for each kind of observer and of what it was
    told. Nor does a block that it returns keep anything from being raised.
    """

    def looked(self, lookup: Lookup) -> None:
        """Take note of a lookup that has ended."""

    def computed(self, computed: Computed) -> None:
        """Take note of a value that was computed, and stored or not."""

    def doing(self, work: Work, name: str) -> AbstractContextManager[object]:
        """Return a block around some work: a value of `name` is computed, in one part or several.

        Or it is encoded, when what is lazy in it is evaluated; or the fence of a COMMIT is raised,
        on the database with the alias `name`.
        """
        return nullcontext()

    def about_write(self) -> Mapping[str, str]:
        """Return what is to stand with a delivery of this moment in the list of recent ones."""
        return {}


#: Who is told. To be changed only while the process starts, and in tests.
observers: Final[list[Observer]] = []

_NOBODY: Final = nullcontext()

# Which have failed of what they were told, and that was logged.
_failed: Final[set[tuple[type[Observer], str]]] = set()


def looked(lookup: Lookup) -> None:
    """Tell all observers."""
    for observer in observers:
        _guarded(observer, "looked", partial(observer.looked, lookup))


def computed(fact: Computed) -> None:
    """Tell all observers."""
    for observer in observers:
        _guarded(observer, "computed", partial(observer.computed, fact))


def doing(work: Work, name: str) -> AbstractContextManager[object]:
    """Have all observers around some work; "" is the name of what nobody has to know of."""
    return _Around(work, name) if observers and name else _NOBODY


class _Around:
    """The blocks of all observers, which end in the opposite order."""

    def __init__(self, work: Work, name: str) -> None:
        self._about = work, name
        self._begun: list[tuple[Observer, AbstractContextManager[object]]] = []

    def __enter__(self) -> None:
        for observer in observers:
            _guarded(observer, "doing", partial(self._begin, observer))

    def _begin(self, observer: Observer) -> None:
        block = observer.doing(*self._about)
        block.__enter__()
        self._begun.append((observer, block))

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        for observer, block in reversed(self._begun):
            _guarded(observer, "doing", partial(block.__exit__, kind, error, trace), error)


def about_write() -> dict[str, str]:
    """Return what all observers have to say with a delivery."""
    found: dict[str, str] = {}
    for observer in observers:
        _guarded(observer, "about_write", partial(_add, found, observer))
    return found


def _add(found: dict[str, str], observer: Observer) -> None:
    # Text, since it is going to be written down as JSON.
    found.update({str(name): str(said) for name, said in observer.about_write().items()})


def _guarded(
    observer: Observer, told: str, act: Callable[[], object], error: BaseException | None = None
) -> None:
    """Call `act`, and log what `observer` raises, unless it is the `error` it was told of."""
    try:
        act()
    except Exception as raised:
        about = type(observer), told
        if raised is not error and about not in _failed:
            _failed.add(about)
            logger.exception("%s failed, in %s().", type(observer).__qualname__, told)
