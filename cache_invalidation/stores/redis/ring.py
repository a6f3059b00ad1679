"""What a process that keeps values near is told at once, by publish / subscribe."""

import json
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.stores.near.registrar import Item
from cache_invalidation.stores.redis.counters import ERRORS


class RedisRing:
    """See `Ring`. A writer waits for what is done with a message, so it is read by few calls."""

    def __init__(self, subscribed: Any) -> None:
        self._subscribed = subscribed

    def listen(self, seconds: float) -> tuple[int, Item] | None:
        try:
            pushed = self._pushed(seconds)
        except ERRORS as error:
            # Such as one to subscribe, which is answered only now.
            kind = StoreRefused if isinstance(error, ResponseError) else StoreUnavailable
            raise kind(f"{type(error).__name__}: {error}") from error
        if not pushed or pushed[0] != b"message":
            return None  # What it says to who subscribes, or to a ping.
        before, *item = json.loads(pushed[2])
        return before, item_of(item)

    def _pushed(self, seconds: float) -> Any:
        """Return what the server says within so many seconds; None if that is nothing."""
        subscribed = self._subscribed
        try:
            subscribed.check_health()
            # `get_message` makes sure first that there is something to read, and that the
            # connection was not closed: three times as many calls as reading takes.
            return subscribed.connection.read_response(
                timeout=seconds, disconnect_on_error=False, push_request=True
            )
        except RedisTimeoutError:
            return None
        except RedisConnectionError:
            return subscribed.parse_response(block=False, timeout=0)  # Over a new connection.


def item_of(told: Sequence[Any]) -> Item:
    """Return an invalidation as the server spells it: stamp, token of the fence, keys."""
    stamp, _, keys = told
    return Item(stamp, keys)
