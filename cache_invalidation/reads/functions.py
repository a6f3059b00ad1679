"""The cached functions of this process, by the names of their entries."""

import gc
from collections.abc import Callable, Iterator
from inspect import ismethod
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from cache_invalidation.reads.decorated import unwrapped
from cache_invalidation.reads.hints import hints
from cache_invalidation.reads.spelling import PLAIN
from cache_invalidation.tags import family

_numbers = count()
_alive: WeakValueDictionary[int, Any] = WeakValueDictionary()


def add(function: Any) -> None:
    """Know `function` for as long as it exists.

    Raises `TypeError` if there is another one of its name that wraps the same function, or is the
    same method of another object.
    """
    if _has_rival(function):
        gc.collect()  # Those that nobody can call any more do no harm.
        if _has_rival(function):
            raise TypeError(
                f"{function.uncached!r} would share its entries with another cached function: both "
                f"are named {function.signature.name} after what they wrap; pass name=."
            )
    _alive[next(_numbers)] = function


def _has_rival(function: Any) -> bool:
    name, innermost = function.signature.name, _innermost(function)
    return any(
        other.signature.name == name
        and _innermost(other) is innermost
        and not _alike(other.uncached, function.uncached)
        for other in _all()
    )


def _innermost(function: Any) -> Any:
    found = unwrapped(function.uncached)[-1]
    return found.__func__ if ismethod(found) else found


def by_name() -> dict[str, Any]:
    """Return all that exist; of several with the same name, the one that was declared last."""
    return {function.signature.name: function for function in _all()}


def families_found(name_in: Callable[[str], str]) -> dict[str, set[str]]:
    """Return, by `name_in` the key of an entry, what it was found to depend on.

    That is what this process remembers of what is cached, besides declared tags: family tags and
    tags without a family.
    """
    found: dict[str, set[str]] = {}
    for key, tags in list(hints.items()):
        families = found.setdefault(name_in(key), set())
        families.update(family(tag) or tag for tag in tags)
    return found


def clashes() -> set[str]:
    """Return the names that different functions have, which then serve each other's values.

    A function whose module was loaded twice is no other one.
    """
    first: dict[str, Any] = {}
    found = set()
    for function in _all():
        name = function.signature.name
        if not _alike(first.setdefault(name, function).uncached, function.uncached):
            found.add(name)
    return found


def _all() -> Iterator[Any]:
    # The list is made at once, so that another thread may declare one meanwhile.
    for reference in _alive.valuerefs():
        if (function := reference()) is not None:
            yield function


def _alike(one: Any, other: Any) -> bool:
    """Whether both do the same: the same code, with the same values from around it."""
    if one is other:
        return True
    if getattr(one, "__self__", None) is not getattr(other, "__self__", None):
        return False
    codes = getattr(one, "__code__", None), getattr(other, "__code__", None)
    return None not in codes and codes[0] == codes[1] and _around(one) == _around(other)


def _around(function: Any) -> list[Any]:
    found: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # Nothing was assigned to the name yet.
            found.append((None, 0))
        else:
            kind = type(value)
            found.append((kind, value if kind in PLAIN else id(value)))
    return found
