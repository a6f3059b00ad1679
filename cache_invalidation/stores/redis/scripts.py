"""The scripts that change several keys, or look before they change one, in one step.

They are sent whole (EVAL): there is no "script unknown" after a restart, a failover or a flush, and
the server compiles each of them once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cache_invalidation.stores.messages import VERSION_GRACE
from cache_invalidation.stores.redis.connection import IDENTIFY, without_comments
from cache_invalidation.stores.redis.conversing import Command

_LUA = {path.stem: without_comments(path) for path in (Path(__file__).parent / "lua").glob("*.lua")}

# What is shared by several of them stands in front.
_LUA["hold"] = _LUA["register"] + _LUA["lookup"]
_LUA["fill_and_hold"] = _LUA["register"] + _LUA["fill"]
_LUA["tell"] = _LUA["young"] + _LUA["tell"]
_LUA["fence"] = _LUA["tell"] + _LUA["fence"]
_LUA["again"] = _LUA["tell"] + _LUA["again"]
_LUA["change"] = _LUA["tell"] + _LUA["change"]
_LUA["fill_and_tell"] = _LUA["tell"] + _LUA["fill_and_hold"]
_LUA["clear"] = _LUA["young"] + _LUA["clear"]
_LUA["renew"] = _LUA["young"] + _LUA["renew"]
_LUA["identify"] = IDENTIFY


def script(name: str, keys: Sequence[str], *args: Any) -> Command:
    """Return the command that runs the script `name`."""
    return ("EVAL", _LUA[name], len(keys), *keys, *args)


def lives_of(timeout: float | None) -> tuple[int, int]:
    """Return how long an entry and its versions live, in ms as scripts take them."""
    return (0, 0) if timeout is None else (ms(timeout), ms(timeout + VERSION_GRACE))


def ms(seconds: float) -> int:
    """Return milliseconds, as the server counts; never none at all."""
    return max(1, round(seconds * 1000))
