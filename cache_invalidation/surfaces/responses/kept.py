"""A response from the cache: it is rendered already, and is again if somebody changes its data."""

import json
from collections.abc import Callable
from typing import Any, Final

from rest_framework.response import Response

from cache_invalidation.surfaces.pages.contents import contents
from cache_invalidation.surfaces.pages.stored import Page

_UNREAD: Final = object()
_IN_JSON: Final = frozenset({str, int, float, bool, type(None)})


class KeptResponse(Response):
    """The response that a view returned before, for the view and middlewares to do with as always.

    Kept are the bytes. `made` returns the data that they were made of, for whoever asks for it,
    such as a `finalize_response` that puts something around it: then it is rendered again.
    """

    def __init__(self, page: Page, made: Callable[[], Any]) -> None:
        super().__init__(status=page.status)
        self._made = made
        self._data: Any = _UNREAD
        self._before: Any = _UNREAD
        page.dress(self)
        self.content = page.body or b""

    @property
    def data(self) -> Any:
        """What it is rendered from."""
        if self._data is _UNREAD:
            self._data = self._made()
            self._before = contents(self._data)
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data, self._before = value, _UNREAD

    def render(self) -> Any:
        """Return the response with its content, as `Response.render` does."""
        if self._data is not _UNREAD and self._before != contents(self._data):
            self._is_rendered = False
        return super().render()


def is_json_of(body: bytes, data: Any) -> bool:
    """Whether `body` is JSON that says all there is to say about `data`."""
    try:
        return _is_plain(data) and bool(json.loads(body) == data)
    except ValueError:
        return False


def _is_plain(data: Any) -> bool:
    if isinstance(data, dict):
        return all(type(key) is str and _is_plain(value) for key, value in data.items())
    if isinstance(data, list):
        return all(map(_is_plain, data))
    return type(data) in _IN_JSON
