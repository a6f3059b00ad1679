"""What was fetched ahead for a thread or task, and must not be used once it has written.

Readers fetch it and writers give it up, and know nothing else of each other.
"""

from contextvars import ContextVar
from typing import Protocol


class Ahead(Protocol):
    """Whatever was fetched."""

    def give_up(self) -> None:
        """Use nothing of it from now on."""


#: That of the block which is open in this thread or task, if any.
ahead: ContextVar[Ahead | None] = ContextVar("cache_invalidation_ahead", default=None)


def give_up_ahead() -> None:
    """Let this thread or task use nothing from now on that was fetched before."""
    if (found := ahead.get()) is not None:
        found.give_up()
