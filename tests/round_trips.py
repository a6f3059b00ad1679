"""How often this thread waits for a cache server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any
from unittest import mock

from redis.connection import AbstractConnection

from tests.unsampled import unsampled


@dataclass(slots=True)
class RoundTrips:
    """How many there were."""

    number: int = 0


@contextmanager
def round_trips() -> Iterator[RoundTrips]:
    """Count what this thread sends until the block ends: a command, or several at once.

    The server cannot be asked: a request that is long reaches it in pieces if it has time to read
    the first of them before the next one comes, and it counts each as a read.
    """
    trips, own, send = RoundTrips(), get_ident(), AbstractConnection.send_packed_command

    def counting(connection: Any, *args: Any, **kwargs: Any) -> None:
        trips.number += get_ident() == own
        send(connection, *args, **kwargs)

    with unsampled(), mock.patch.object(AbstractConnection, "send_packed_command", counting):
        yield trips
