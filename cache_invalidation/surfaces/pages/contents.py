"""Has somebody changed what is in a value, though it still is the same one?"""

from typing import Any, Final

DEEPEST: Final = 20  # containers in one another
_IN_ORDER: Final[tuple[Any, ...]] = list, tuple


class _Same:
    """Something that is only equal to itself."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._held is other._held

    __hash__ = None  # type: ignore[assignment]


def contents(value: Any, depth: int = DEEPEST) -> Any:
    """Return what is equal later if nobody has changed `value`, nor the containers inside of it.

    Only dictionaries, lists, tuples and sets are looked into.
    """
    held = _Same(value)
    if depth == 0:
        return held
    # Each in the way that nobody is told of who takes note of what is looked at.
    if isinstance(value, dict):
        pairs = dict.items(value)
        return held, [(contents(key, depth - 1), contents(each, depth - 1)) for key, each in pairs]
    for kind in _IN_ORDER:
        if isinstance(value, kind):
            return held, [contents(each, depth - 1) for each in kind.__iter__(value)]
    return (held, frozenset(map(id, value))) if isinstance(value, set | frozenset) else held
