"""A response from the cache: it is rendered already, and is again if somebody changes its data."""

import json
from typing import Any, Final

from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response

from cache_invalidation.surfaces.pages.stored import Page

_UNREAD: Final = object()


class KeptResponse(Response):
    """The response that a view returned before, for a view and middlewares to do with as always.

    Kept are the bytes. Whoever asks for its `data` gets what JSON made of it; and if that is
    changed or replaced, such as by a `finalize_response` that puts something around it, it is
    rendered again.
    """

    def __init__(self, page: Page, renderer: BaseRenderer) -> None:
        self._renderer = renderer
        super().__init__(status=page.status)
        self._data: Any = _UNREAD
        self._before: Any = _UNREAD
        if page.reason is not None:
            self.reason_phrase = page.reason
        self._charset = page.charset
        del self.headers["Content-Type"]
        for name, value in page.headers:
            self.headers[name] = value
        vars(self).update(page.attributes)
        self.content = page.body or b""

    @property
    def data(self) -> Any:
        """What it was rendered from, as far as that can be told.

        Raises `AttributeError` for what is not JSON.
        """
        if self._data is _UNREAD:
            if not isinstance(self._renderer, JSONRenderer):
                raise AttributeError("This response is from the cache, which has its bytes only.")
            self._data = json.loads(self.content) if self.content else None
            self._before = shape_of(self._data)
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data, self._before = value, _UNREAD

    def render(self) -> Any:
        """Return the response with its content, as `Response.render` does."""
        if self._data is not _UNREAD and self._before != shape_of(self._data):
            self._is_rendered = False
        return super().render()


def shape_of(data: Any) -> Any:
    """Return what is the same as long as nobody changes `data` or what is inside of it."""
    if isinstance(data, dict):
        return {key: shape_of(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [shape_of(value) for value in data]
    return data
