"""For tools that watch how the cache is used: they are told of lookups, and of what these cause.

While nobody is in `observers`, a hit looks at an empty list, and that is all.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

logger = logging.getLogger("cache_invalidation")

Work = Literal["compute", "encode", "fence"]

T = TypeVar("T")


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

    What `looked`, `computed` and `about_write` raise is logged, and changes nothing.
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


def looked(lookup: Lookup) -> None:
    """Tell all observers."""
    for observer in observers:
        _tell(observer.looked, lookup)


def computed(fact: Computed) -> None:
    """Tell all observers."""
    for observer in observers:
        _tell(observer.computed, fact)


def doing(work: Work, name: str) -> AbstractContextManager[object]:
    """Have all observers around some work; "" is the name of what nobody has to know of."""
    return _around(work, name) if observers and name else _NOBODY


@contextmanager
def _around(work: Work, name: str) -> Iterator[None]:
    with ExitStack() as stack:
        for observer in observers:
            stack.enter_context(observer.doing(work, name))
        yield


def about_write() -> dict[str, str]:
    """Return what all observers have to say with a delivery."""
    found: dict[str, str] = {}
    for observer in observers:
        _tell(lambda observer: found.update(observer.about_write()), observer)
    return found


def _tell(tell: Callable[[T], None], fact: T) -> None:
    try:
        tell(fact)
    except Exception:
        logger.exception("An observer failed.")
