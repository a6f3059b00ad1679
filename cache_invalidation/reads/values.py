"""Values as the cache keeps them, with what its serializer would lose of them.

A serializer that knows no text marked safe, such as JSON, gives it back as plain text, which a
template escapes: the page of a hit would be another one than that of the miss. So the places of
such texts are kept in front of the value.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.safestring import SafeString

from cache_invalidation.stores.base import Store

# Begins every payload that places stand in front of, and none else: see `encode`.
MARK: Final = b"\x00ci safe"
_HEAD: Final = len(MARK) + 4

# Where safe text is in a value: True if the value is one, None if there is none in it, or else
# pairs of an index and the same for the item at that place.
Places = Any


def encode(value: Any, store: Store) -> bytes:
    """Return `value` as `decode` takes it.

    Raises what the serializer raises, and `TypeError` for markup that it would not give back.
    """
    payload = store.encode(value)
    places = None if store.keeps_safe_text else _places(value)
    if places is None and not payload.startswith(MARK):
        return payload
    if places is not None and not _agree(value, store.decode(payload), places):
        raise TypeError("its serializer changes the places of text that is marked safe")
    head = json.dumps(places).encode()
    return b"".join((MARK, len(head).to_bytes(4), head, payload))


def decode(payload: Any, store: Store) -> Any:
    """Return the value that `encode` was given; raise `ValueError` if it is unreadable."""
    if not (isinstance(payload, bytes) and payload.startswith(MARK)):
        return store.decode(payload)
    end = _HEAD + int.from_bytes(payload[len(MARK) : _HEAD])
    places = json.loads(payload[_HEAD:end])
    value = store.decode(payload[end:])
    try:
        return _marked(value, places)
    except (TypeError, LookupError) as error:
        raise ValueError(f"unreadable entry: {error!r}") from error


def _places(value: Any) -> Places:
    if isinstance(value, Promise):
        value = str(value)  # As serializers do.
    if type(value) is SafeString:
        return True
    if isinstance(value, dict):
        _refuse_markup(value)
        found = enumerate(map(_places, value.values()))
    elif isinstance(value, list | tuple):
        found = enumerate(map(_places, value))
    else:
        _refuse_markup(value if isinstance(value, set | frozenset) else [value])
        return None
    return [(index, places) for index, places in found if places is not None] or None


def _refuse_markup(values: Iterable[Any]) -> None:
    for value in values:
        if hasattr(value, "__html__"):
            raise TypeError(
                f"its serializer would give back a {type(value).__name__} as plain text, which is "
                "escaped; return text, and mark it safe where it is used"
            )


def _agree(value: Any, decoded: Any, places: Places) -> bool:
    """Whether the same texts are in these places, before and after."""
    if places is True:
        return type(decoded) is str and decoded == str(value)
    try:
        return all(_agree(_items(value)[i], _items(decoded)[i], further) for i, further in places)
    except (TypeError, LookupError):
        return False


def _items(value: Any) -> list[Any]:
    return list(value.values() if isinstance(value, dict) else value)


def _marked(value: Any, places: Places) -> Any:
    if places is None:
        return value
    if places is True:
        return SafeString(str.__str__(value))  # Which raises if it is no text.
    items = _items(value)
    for index, further in places:
        items[index] = _marked(items[index], further)
    if isinstance(value, dict):
        return dict(zip(value, items, strict=True))
    return items if isinstance(value, list) else tuple(items)
