"""Methods of Django that are wrapped, each of them once."""

from collections.abc import Callable
from typing import Any, Final

# On a wrapper. Whoever wraps it takes its attributes along.
_MARK: Final = "_cache_invalidation_observes"


def wrap(owner: Any, name: str, observed: Callable[[Any], Any]) -> None:
    """Put what `observed` makes of a method of `owner` in its place, unless it is there already."""
    if not is_wrapped(owner, name):
        wrapper = observed(getattr(owner, name))
        setattr(wrapper, _MARK, True)
        setattr(owner, name, wrapper)


def is_wrapped(owner: Any, name: str) -> bool:
    """Whether the method is observed: nobody has put it back, or another in its place."""
    return hasattr(getattr(owner, name), _MARK)
