"""The record of what one computation has looked at."""

from collections.abc import Callable
from typing import Final

from cache_invalidation.reads.dependencies import apart
from cache_invalidation.surfaces.inputs.portraits import Opaque

#: So many inputs of one computation at most; a page that looks at more is one of a kind.
MOST: Final = 100


class Inputs:
    """What was looked at, by name in the order of looking, and why the value must not be stored.

    A value is portrayed when it is first looked at, since what is computed from it may change it.
    """

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        #: Short names of reasons, such as "session", with what there is to say about each.
        self.refusals: dict[str, str] = {}

    def look_by(self, name: str, portrait: Callable[[], str]) -> None:
        """Take note of the input `name`, of which `portrait` returns the portrait as it is now.

        Or refuse what has none. Queries behind it, such as those for a session or a user, are
        nobody's dependencies: a login drops nothing.
        """
        if name in self.seen:
            return
        if len(self.seen) >= MOST:
            self.refuse("inputs", f"it looks at more than {MOST} inputs")
            return
        try:
            with apart():
                self.seen[name] = portrait()
        except Opaque as error:
            self.refuse(error.reason, f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 - the project's own, and raised to it as well
            self.refuse("opaque", f"{name} could not be evaluated: {error!r}")

    def refuse(self, reason: str, detail: str = "") -> None:
        """Keep the value from being stored; the first detail of a reason is kept."""
        self.refusals.setdefault(reason, detail)
