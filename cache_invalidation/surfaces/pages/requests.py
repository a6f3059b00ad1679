"""A request that records what is looked at, for as long as a view has it.

Its class is swapped, so that whatever holds the request, such as a class-based view or the context
of a template, holds one that records.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import getattr_static
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, cached_property

from cache_invalidation.reads.dependencies import apart
from cache_invalidation.surfaces.inputs.changes import Changes
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.pages import known
from cache_invalidation.surfaces.pages.mappings import TellingHeaders, telling_dict, telling_query
from cache_invalidation.surfaces.pages.outlook import Coarse, Outlook
from cache_invalidation.surfaces.pages.swapping import (
    aside,
    held_by,
    is_aside,
    record_of,
    recorded_by,
    with_twin,
)
from cache_invalidation.surfaces.pages.users import reading_no_more_than, stands_for


class Recording:
    """What was looked at of one request while its class is swapped."""

    def __init__(
        self,
        request: HttpRequest,
        inputs: Inputs,
        of_user: Coarse | None,
        outer: "Recording | None" = None,
    ) -> None:
        self.inputs = inputs
        self._outlook = Outlook(request, of_user)
        self._of_user = of_user
        self._outer = outer
        self._held: dict[str, Any] = held_by(request)
        self._added = self._messages_added()
        self._shown: dict[str, Any] = {}
        self._placed: set[str] = set()
        # To what others have put on it.
        self._changes = Changes()

    def get(self, request: HttpRequest, name: str) -> Any:
        """Return the attribute `name` of the request, and take note of that."""
        if is_aside(self):
            return object.__getattribute__(request, name)
        if name in _MADE:
            return self._show(name, partial(_MADE[name], self, request))
        self._take_note(name)
        found = getattr_static(type(request), name, None)
        if isinstance(found, cached_property) and name not in self._placed:
            return self._show(name, partial(found.func, request))
        if found is None and name not in known.KNOWN and name[:2] != "__":
            self._look_into(name)
        return object.__getattribute__(request, name)

    def _show(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._shown:
            self._shown[name] = make()
        return self._shown[name]

    def _take_note(self, name: str) -> None:
        if name in known.PLAIN:
            self._look(name)
        elif name in known.USERS:
            self.tell("user")
        elif name in ("__dict__", "__getstate__", "__reduce_ex__"):
            self.refuse("request", "it takes the request apart")
        elif name in known.BODY:
            self.refuse("body", "it looks at the body of the request")

    def _look_into(self, name: str) -> None:
        self._look(f"has.{name}")
        if name in self._held and not self.inputs.refusals:
            self._changes.watch(self._held[name])

    def set(self, name: str) -> None:
        """Take note that something is put on the request, which a hit would not do."""
        for made in known.MADE_OF.get(name, (name,)):
            self._forget(made)
        if not is_aside(self) and name not in known.SET_BY_DJANGO:
            self.refuse("request", f"it sets request.{name}")

    def _forget(self, name: str) -> None:
        """Show under `name` what somebody has put there."""
        self._shown.pop(name, None)
        self._placed.add(name)
        if self._outer is not None:
            self._outer._forget(name)

    def refuse(self, reason: str, detail: str) -> None:
        """Keep from being stored what is computed, and all that it is a part of."""
        self.inputs.refuse(reason, detail)
        if self._outer is not None:
            self._outer.refuse(reason, detail)

    def _look(self, name: str) -> None:
        with aside(self):
            if name.removeprefix("has.") not in self._placed:  # Else it comes from inside.
                self.inputs.look_by(name, partial(self._outlook.current, name))
            if self._outer is not None:
                self._outer._look(name)

    def tell(self, name: str) -> None:
        """Take note that somebody looks at all that is under `name`, of whom it is a part."""
        self._look(name)
        recording: Recording | None = self
        while name == "user" and recording is not None:
            if recording._of_user is not None:
                recording.refuse("user", "a part of it is made for one user")
            recording = recording._outer

    def _told(self, kind: str, name: str | None) -> None:
        self._look(kind if name is None else f"{kind}.{name}")

    def _query(self, request: HttpRequest) -> Any:
        told, asked = partial(self._told, "GET"), partial(self._look, "some.GET")
        changed = partial(self.refuse, "request", "it changes request.GET")
        return telling_query(self._raw("GET", request), told, asked, lambda name: changed())

    def _cookies(self, request: HttpRequest) -> Any:
        told = partial(self._told, "COOKIES")
        return telling_dict(self._raw("COOKIES", request), told, told)

    def _meta(self, request: HttpRequest) -> Any:
        return telling_dict(self._held["META"], self._told_of_meta, self._changed_meta)

    def _environ(self, request: HttpRequest) -> Any:
        return self._meta(request) if "environ" in self._held else self._missing("environ")

    def _told_of_meta(self, name: str | None) -> None:
        if name is None:
            self.refuse("request", "it goes through request.META")
        elif name.startswith("CSRF_COOKIE"):
            self.refuse("csrf", "it shows a CSRF token")
        elif name == "HTTP_AUTHORIZATION":
            self.refuse("authorization", "it looks at the header Authorization")
        else:
            self._look(f"META.{name}")

    def _changed_meta(self, name: str | None) -> None:
        if name is None or name.startswith("CSRF_COOKIE"):
            self.refuse("csrf", "it shows a CSRF token")
        else:
            self.refuse("request", "it changes request.META")

    def _headers(self, request: HttpRequest) -> Any:
        return TellingHeaders(self._held["META"], self._told_of_header)

    def _told_of_header(self, name: str | None) -> None:
        if name is None:
            self._look("headers")
        else:
            self._told_of_meta(name)

    def _raw(self, name: str, request: HttpRequest) -> Any:
        """Return what the request would have under `name`, and keep it there as Django does."""
        if name not in self._held:
            found = getattr_static(type(request), name)
            # It is made of the whole header, of which the view may look at a part.
            with aside(self):
                if not isinstance(found, cached_property):
                    return found.__get__(request)
                self._held[name] = found.func(request)
        return self._held[name]

    def _missing(self, name: str) -> Any:
        raise AttributeError(f"The request has no attribute {name!r}.")

    def _user(self, request: HttpRequest) -> Any:
        if self._held.get("user") is None:
            self._look("user")
            return None if "user" in self._held else self._missing("user")

        def evaluate() -> Any:
            self._look("user")
            user = self._held["user"]
            if self._outer is not None:
                user = self._outer.get(request, "user")
            self._changes.watch(self._held["user"])
            if self._of_user is None:
                return user
            with aside(self), apart():
                user = stands_for(user)
            look = partial(self._told, "user")
            return reading_no_more_than(self._of_user, user, self.inputs, look)

        return SimpleLazyObject(evaluate)

    def _auser(self, request: HttpRequest) -> Any:
        original = self._held.get("auser")
        if original is None:
            return self._missing("auser")

        async def auser() -> Any:
            with apart():
                # Of a request that does not record; others may look at this one meanwhile.
                self._held["user"] = await with_twin(original, request)()
            user = self.get(request, "user")
            # Has it find out, which takes a query if `vary_on` does.
            await sync_to_async(getattr)(user, "__class__")
            return user

        return auser

    def _session(self, request: HttpRequest) -> Any:
        def told() -> None:
            self.refuse("session", "it looks at the session")

        return self._once_used("session", told, absent="has.session")

    def _messages(self, request: HttpRequest) -> Any:
        def told() -> None:
            self._look("messages")
            if len(self._held["_messages"]) > 0:
                self.refuse("messages", "it shows messages")

        return self._once_used("_messages", told, absent="messages")

    def _nonce(self, name: str, request: HttpRequest) -> Any:
        def told() -> None:
            self.refuse("nonce", "it uses the nonce of the Content-Security-Policy")

        return self._once_used(name, told)

    def _once_used(self, name: str, told: Callable[[], None], absent: str | None = None) -> Any:
        """Return what stands for the attribute `name`, and calls `told` when somebody uses it.

        That it is not there is the input `absent`, if that can be otherwise.
        """
        if name not in self._held:
            if absent is not None:
                self._look(absent)
            return self._missing(name)

        def evaluate() -> Any:
            told()
            return self._held[name]

        return SimpleLazyObject(evaluate)

    def close(self) -> None:
        """Take note of what shows only at the end."""
        if self._messages_added() > self._added:
            self.refuse("messages", "it adds a message")
        if self._changes.any():
            self.refuse("request", "it changes what is in something that was put on the request")

    def _messages_added(self) -> int:
        return len(getattr(self._held.get("_messages"), "_queued_messages", ()))


_MADE: Final[Mapping[str, Callable[[Recording, HttpRequest], Any]]] = {
    "GET": Recording._query,
    "COOKIES": Recording._cookies,
    "META": Recording._meta,
    "environ": Recording._environ,
    "headers": Recording._headers,
    "user": Recording._user,
    "auser": Recording._auser,
    "session": Recording._session,
    "_messages": Recording._messages,
    # Django's own, and that of django-csp.
    "_csp_nonce": lambda recording, request: recording._nonce("_csp_nonce", request),
    "csp_nonce": lambda recording, request: recording._nonce("csp_nonce", request),
}


def tell(request: HttpRequest, name: str) -> None:
    """Let those who record know that all that is under `name` is looked at."""
    recording = record_of(request)
    if recording is not None:
        recording.tell(name)


@contextmanager
def recording(
    request: HttpRequest | None, inputs: Inputs, of_user: Coarse | None = None
) -> Iterator[None]:
    """Record in `inputs` what is looked at of `request`, if there is one, inside of the block.

    Whoever records it already, since this is a part of something larger, gets to know it, too.
    """
    if request is None:
        yield
        return
    record = Recording(request, inputs, of_user, record_of(request))
    try:
        with recorded_by(record, request):
            yield
    finally:
        record.close()
