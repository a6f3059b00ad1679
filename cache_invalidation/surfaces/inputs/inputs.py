"""The record of what one computation has looked at."""

from collections.abc import Callable
from typing import Any, Final

from cache_invalidation.surfaces.inputs.portraits import Opaque, portray

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

    def look(self, name: str, value: Any) -> None:
        """Take note that `value` was looked at under `name`; or refuse what cannot be portrayed."""
        self.look_by(name, lambda: portray(value))

    def look_by(self, name: str, portrait: Callable[[], str]) -> None:
        """Do the same for what `portrait` returns, unless it is known already."""
        if name in self.seen:
            return
        if len(self.seen) >= MOST:
            self.refuse("inputs", f"it looks at more than {MOST} inputs")
            return
        try:
            self.seen[name] = portrait()
        except Opaque as error:
            self.refuse(error.reason, f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 - the project's own, and raised to it as well
            self.refuse("opaque", f"{name} could not be evaluated: {error!r}")

    def refuse(self, reason: str, detail: str = "") -> None:
        """Keep the value from being stored; the first detail of a reason is kept."""
        self.refusals.setdefault(reason, detail)
