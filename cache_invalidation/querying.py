"""Whether a query may be answered from the cache: what its queryset says, and a block around it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from cache_invalidation.context import during

#: On a query of Django, which hands it on to its clones.
_NAME: Final = "_cache_invalidation_wish"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a queryset says: to be cached for so long, as `cached` takes it, or not at all.

    With `near`, in the memory of processes as well.
    """

    is_cached: bool
    timeout: Any = None
    near: bool = False


NEVER: Final = Wish(False)

# What counts for queries that say nothing: those of a prefetch that belongs to one that does.
_around: ContextVar[Wish | None] = ContextVar("cache_invalidation_wish", default=None)
_is_off: ContextVar[bool] = ContextVar("cache_invalidation_uncached", default=False)


def wish_for(query: Any, wish: Wish) -> None:
    """Have `query`, and whatever is derived from it, say so."""
    setattr(query, _NAME, wish)


def wish_of(query: Any) -> Wish | None:
    """Return what `query` says itself; an aggregate, what the query says that it is over."""
    attributes = vars(query)
    said: Wish | None = attributes.get(_NAME)
    if said is None and "inner_query" in attributes:
        return wish_of(attributes["inner_query"])
    return said


def wish_now(query: Any) -> Wish | None:
    """Return what counts for `query` at this place: what it says itself, or what is said around."""
    return NEVER if _is_off.get() else wish_of(query) or _around.get()


def wishing(wish: Wish | None) -> AbstractContextManager[None]:
    """Have queries inside of the block that say nothing themselves say this."""
    return during(_around, wish)


@contextmanager
def uncached_queries() -> Iterator[None]:
    """Have every query inside of the block go to the database; also a decorator.

    That is in this thread or task, whatever a queryset says itself. What is read is not stored
    either. In a coroutine, use the block: the decorator knows functions only.
    """
    with during(_is_off, True):
        yield
