"""One request for a response that is cached: as for pages, but for what the framework adds."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from django.http.response import HttpResponseBase
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_invalidation.surfaces.pages.contents import contents
from cache_invalidation.surfaces.pages.options import Options
from cache_invalidation.surfaces.pages.stored import etag_of
from cache_invalidation.surfaces.pages.swapping import recorded_by
from cache_invalidation.surfaces.pages.visits import Visit
from cache_invalidation.surfaces.responses.kept import KeptResponse, is_json_of
from cache_invalidation.surfaces.responses.requests import (
    ALWAYS_LOOKED_AT,
    RestOutlook,
    RestRecording,
)
from cache_invalidation.surfaces.responses.views import Called, Left

_IN_EVERY_CONTEXT: Final = frozenset({"view", "args", "kwargs", "request", "response"})
# Attributes of a page that are not those of its response: whether that was rendered late, and from
# data that can be read from its body.
_IS_LATE: Final = "_is_late"
_IS_JSON: Final = "_is_json"


class ResponseVisit(Visit):
    """One request for the response of a method or function of REST framework."""

    _view: APIView
    _outer: Request
    _left: Left
    # As the view has returned it, and before it is rendered if that comes late.
    _status = 200
    _headers: Mapping[str, str] = {}
    _unrendered_headers: Mapping[str, str] | None = None

    @classmethod
    def to(
        cls, view: APIView, request: Request, what: Called, given: Any, options: Options
    ) -> "ResponseVisit | None":
        """Return the visit that a request for `what` is; None if it is none: see `begin`."""
        visit = cls.begin(
            request._request,
            what.name,
            lambda: (*what.about(), given, options.key_prefix),
            RestOutlook(request, options.of_user),
            what.function,
            options,
        )
        if visit is not None:
            visit._view, visit._outer, visit._left = view, request, Left(view)
        return visit

    def _may_be_fetched_later(self) -> bool:
        return False  # Whoever gets the response may want its data, which is made of the body.

    def answer_with(self, compute: Callable[[], Any]) -> HttpResponseBase:
        """Return the response of a hit; `compute` makes it anew, if somebody needs its data."""
        self.page = page = self.read.value
        attributes = dict(page.attributes)
        is_late, is_json = attributes.pop(_IS_LATE, False), attributes.pop(_IS_JSON, False)
        page = replace(page, attributes=attributes)
        if not is_late:
            return self._marked(page.response())
        if is_json:
            return self._marked(KeptResponse(page, partial(json.loads, page.body)))
        return self._marked(KeptResponse(page, lambda: compute().data))

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take note of what is looked at and read inside of the block."""
        if isinstance(self._outer.accepted_renderer, BrowsableAPIRenderer):
            self.inputs.refuse("browsable", "it is the browsable API, with its forms")
        record = RestRecording(self._outer, self.inputs, self._options.of_user)
        for name in ALWAYS_LOOKED_AT:
            record.look(name)
        try:
            with super().computing(), recorded_by(record, self._outer):
                yield
        finally:
            record.close()

    def take(self, response: Any) -> Any:
        """Take what the view has returned, and return what the framework shall have."""
        if changed := self._left.changed():
            self.inputs.refuse("view", changed)
        if isinstance(response, HttpResponseBase):
            self._status, self._headers = response.status_code, dict(response.items())
        return super().take(response)

    def _unrendered(self, response: Any) -> Any:
        if not _is_late(response):
            return super()._unrendered(response)
        about = response.template_name, response.content_type, len(response._post_render_callbacks)
        return contents(response.data), about

    def _is_as_before(self, response: Any) -> bool:
        if not _is_late(response):
            return super()._is_as_before(response)
        outer, view = self._outer, self._view
        context = response.renderer_context
        given = {"view": view, "request": outer, "args": view.args, "kwargs": view.kwargs}
        return (
            response.accepted_renderer is outer.accepted_renderer
            and response.accepted_media_type == outer.accepted_media_type
            and context.keys() <= _IN_EVERY_CONTEXT
            and all(context.get(name) is value for name, value in given.items())
            and self._context == self._unrendered(response)
        )

    def _render(self, response: Any) -> Any:
        self._unrendered_headers = dict(response.items())
        return super()._render(response)

    def _copy(self, response: HttpResponseBase) -> None:
        super()._copy(response)
        page = self.page
        if page is None or self._unrendered_headers is None:
            return
        # Without those that the framework or a middleware has set meanwhile: so it will each time.
        headers = _with_changes(self._headers, self._unrendered_headers, dict(response.items()))
        body = page.body or b""
        about = {_IS_LATE: True, _IS_JSON: is_json_of(body, getattr(response, "data", None))}
        listed = [[name, str(value)] for name, value in headers.items()]
        self.page = replace(
            page,
            status=self._status,
            headers=listed,
            etag=headers.get("ETag") or etag_of(body, listed),
            attributes={**page.attributes, **about},
        )


def _is_late(response: object) -> bool:
    """Whether it is rendered by the framework, and not by Django or already."""
    return isinstance(response, Response)


def _with_changes(
    headers: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, str]:
    """Return `headers` with what was changed between `before` and `after`."""
    kept = {name: value for name, value in headers.items() if name not in before.keys() - after}
    return kept | {name: value for name, value in after.items() if before.get(name) != value}
