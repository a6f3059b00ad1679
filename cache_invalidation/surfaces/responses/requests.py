"""What is looked at of a request of REST framework, which is one around that of Django.

Authentication, negotiation and versioning have run when a response is looked up, and what they
found is kept on the outer request. The names of inputs here begin with ``rest``: ``rest.user`` is
who was authenticated, ``rest.media_type`` what was negotiated, and ``rest.has.shop`` what somebody
else, such as a permission, has put there. Everything else is asked of the inner request, which
records for itself.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from rest_framework.request import Request

from cache_invalidation.surfaces.inputs.changes import Changes
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.inputs.portraits import portray
from cache_invalidation.surfaces.pages.outlook import (
    ABSENT,
    Coarse,
    Outlook,
    one_of,
    portrait_of,
)
from cache_invalidation.surfaces.pages.swapping import aside, is_aside
from cache_invalidation.surfaces.pages.users import reading_no_more_than

#: Inputs of every response: renderers and links hinge on them without asking the request.
ALWAYS_LOOKED_AT: Final = ("rest.renderer", "rest.media_type", "rest.version")

_BODY: Final = frozenset({"_data", "_files", "_full_data", "_stream", "_content_type"})
# By attribute, the input that it is.
_NAMED: Final[Mapping[str, str]] = {
    "_auth": "rest.auth",
    "_authenticator": "rest.authenticator",
    "accepted_renderer": "rest.renderer",
    "accepted_media_type": "rest.media_type",
    "version": "rest.version",
    "versioning_scheme": "rest.version",
}


class RestOutlook(Outlook):
    """Both requests, as those see them who do not record."""

    def __init__(self, request: Request, of_user: Coarse | None = None) -> None:
        super().__init__(request._request, of_user)
        self._outer: dict[str, Any] = object.__getattribute__(request, "__dict__")

    def current(self, name: str) -> str:
        """Return what the input `name` is now, as text; raises as for pages."""
        if not name.startswith("rest."):
            return super().current(name)
        part = name.removeprefix("rest.")
        if part.startswith("has."):
            return self._held_under(part.removeprefix("has."))
        if part.startswith("user."):
            return one_of(self._outer.get("_user"), part.removeprefix("user."))
        return _CURRENT[part](self)

    def _held_under(self, *names: str) -> str:
        if not any(name in self._outer for name in names):
            return ABSENT
        return portray([self._outer.get(name) for name in names])

    def _authenticated(self) -> str:
        return portrait_of(self._outer["_user"], self._of_user)


_CURRENT: Final[Mapping[str, Callable[[RestOutlook], str]]] = {
    "user": RestOutlook._authenticated,
    "auth": lambda outlook: outlook._held_under("_auth"),
    "authenticator": lambda outlook: outlook._held_under("_authenticator"),
    "renderer": lambda outlook: outlook._held_under("accepted_renderer"),
    "media_type": lambda outlook: outlook._held_under("accepted_media_type"),
    "version": lambda outlook: outlook._held_under("version", "versioning_scheme"),
}


class RestRecording:
    """What was looked at of the outer request while its class is swapped."""

    def __init__(self, request: Request, inputs: Inputs, of_user: Coarse | None) -> None:
        self.inputs = inputs
        self._outlook = RestOutlook(request, of_user)
        self._of_user = of_user
        self._held: dict[str, Any] = vars(request)
        self._user: Any = None
        # To what others have put on it.
        self._changes = Changes()

    def get(self, request: Request, name: str) -> Any:
        """Return the attribute `name` of the request, and take note of that."""
        if name == "_request" or is_aside(self):
            return object.__getattribute__(request, name)
        if name in ("user", "_user"):
            return self._get_user(request, name)
        if name in ("_auth", "_authenticator") and name not in self._held:
            self.inputs.refuse("authentication", _LATE)
        elif name in _BODY:
            self.inputs.refuse("body", "it looks at the body of the request")
        elif name in ("__dict__", "__getstate__", "__reduce_ex__", "parser_context"):
            self.inputs.refuse("request", "it takes the request apart")
        elif name in _NAMED:
            self.look(_NAMED[name])
        elif name in self._held or not hasattr(type(request), name):
            # If it is not there, the inner request is asked, which records that.
            self.look(f"rest.has.{name}")
            if name in self._held and not self.inputs.refusals:
                self._changes.watch(self._held[name])
        return object.__getattribute__(request, name)

    def set(self, name: str) -> None:
        """Take note that something is put on the request, which a hit would not do."""
        self._user = None
        if not is_aside(self):
            self.inputs.refuse("request", f"it sets request.{name}")

    def close(self) -> None:
        """Take note of what shows only at the end."""
        if self._changes.any():
            self.inputs.refuse("request", "it changes what is in something that was put on it")

    def look(self, name: str) -> None:
        """Take note of the input `name`."""
        with aside(self):
            self.inputs.look_by(name, partial(self._outlook.current, name))

    def _get_user(self, request: Request, name: str) -> Any:
        if "_user" not in self._held:
            self.inputs.refuse("authentication", _LATE)
            return object.__getattribute__(request, name)
        self.look("rest.user")
        user = self._held["_user"]
        self._changes.watch(user)
        if self._of_user is None or user is None:
            return user
        if self._user is None:
            self._user = reading_no_more_than(self._of_user, user, self.inputs, self._look_at_user)
        return self._user

    def _look_at_user(self, name: str) -> None:
        self.look(f"rest.user.{name}")


_LATE: Final = "nobody was authenticated before the view asked"
