"""What there is to look at of a request, by the names of inputs.

``GET.page`` is a parameter, ``GET`` all of them, ``some.GET`` whether there are any; likewise
``COOKIES`` and ``META``. ``headers`` are all headers, ``user`` is who is logged in, or what counts
of that, and ``user.email`` one thing about them. ``messages`` is whether there are any, and
``has.tenant`` is what somebody has put on the request under that name.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest
from django.http.request import HttpHeaders

from cache_invalidation.reads.spelling import full_name
from cache_invalidation.surfaces.inputs.portraits import portray

#: Of a user, what pages may be made for: ``lambda user: user.is_staff``.
Coarse = Callable[[Any], Any]

ABSENT: Final = "absent"


def of_user(caller: str, vary_on: Mapping[str, Coarse]) -> Coarse | None:
    """Return what `vary_on` makes of a user, if anything.

    Raises `ValueError` for other names in it, and `TypeError` for what is no dictionary or cannot
    be called.
    """
    if not isinstance(vary_on, Mapping):
        raise TypeError(
            f"{caller}(vary_on={vary_on!r}): it takes a dictionary with a function of the user, "
            "such as {'user': lambda user: user.is_staff}. All else is found out."
        )
    if unknown := set(vary_on) - {"user"}:
        raise ValueError(
            f"{caller}(vary_on=…) names {', '.join(map(repr, sorted(unknown)))}; only 'user' can "
            "be made coarser. Everything else that a view looks at is found out."
        )
    found = vary_on.get("user")
    if found is not None and not callable(found):
        raise TypeError(
            f"{caller}(vary_on={{'user': …}}) takes a function of the user, not {found!r}."
        )
    return found


class Outlook:
    """A request, as those see it who do not record."""

    def __init__(self, request: HttpRequest, of_user: Coarse | None = None) -> None:
        self._request = request
        # Around what records, if the request does.
        self._held: dict[str, Any] = object.__getattribute__(request, "__dict__")
        self._of_user = of_user

    def current(self, name: str) -> str:
        """Return what the input `name` is now, as text.

        Raises `Opaque` for what nobody can tell, and what evaluating it raises.
        """
        kind, dot, rest = name.partition(".")
        return _PARTS[kind](self, rest) if dot else _WHOLES[kind](self)

    def _parameter(self, name: str) -> str:
        query = self._request.GET
        return repr(query.getlist(name)) if name in query else ABSENT

    def _cookie(self, name: str) -> str:
        return _item(self._request.COOKIES, name)

    def _meta(self, name: str) -> str:
        return _item(self._request.META, name)

    def _attribute(self, name: str) -> str:
        # What holds the request, such as `request.htmx`, looks at it while that records.
        return portray(self._held[name], self._request) if name in self._held else ABSENT

    def _headers(self) -> str:
        return repr(sorted(HttpHeaders(self._request.META).items()))

    def _user(self) -> str:
        if "user" not in self._held:
            return ABSENT
        return portrait_of(self._held["user"], self._of_user)

    def _of(self, name: str) -> str:
        return one_of(self._held.get("user"), name)

    def _messages(self) -> str:
        return str(len(self._held.get("_messages", ())) > 0)

    def _method(self) -> str:
        # What was made for GET answers HEAD as well.
        method = self._request.method
        return repr("GET" if method == "HEAD" else method)

    def _resolved(self) -> str:
        match = self._held.get("resolver_match")
        if match is None:
            return ABSENT
        return portray([match.view_name, match.route, list(match.args), dict(match.kwargs)])


def portrait_of(user: Any, of_user: Coarse | None) -> str:
    """Return the portrait of a user, or of what `of_user` makes of one.

    That is with the class: whoever is not logged in is of another one, and so are others that can
    be told apart without reading anything of them.
    """
    if of_user is None or user is None:
        return portray(user)
    return portray([full_name(user.__class__), of_user(user)])


def one_of(user: Any, name: str) -> str:
    """Return the portrait of one attribute of a user."""
    try:
        return portray(getattr(user, name))
    except AttributeError:
        return ABSENT


def _item(values: Mapping[str, Any], name: str) -> str:
    return portray(values[name]) if name in values else ABSENT


_PARTS: Final[Mapping[str, Callable[[Outlook, str], str]]] = {
    "GET": Outlook._parameter,
    "COOKIES": Outlook._cookie,
    "META": Outlook._meta,
    "has": Outlook._attribute,
    "user": Outlook._of,
    "some": lambda outlook, kind: str(bool(getattr(outlook._request, kind))),
}

_WHOLES: Final[Mapping[str, Callable[[Outlook], str]]] = {
    "GET": lambda outlook: repr(list(outlook._request.GET.lists())),
    "COOKIES": lambda outlook: repr(sorted(outlook._request.COOKIES.items())),
    "headers": Outlook._headers,
    "messages": Outlook._messages,
    "method": Outlook._method,
    "path": lambda outlook: repr(outlook._request.path),
    "path_info": lambda outlook: repr(outlook._request.path_info),
    "resolver_match": Outlook._resolved,
    "user": Outlook._user,
}
