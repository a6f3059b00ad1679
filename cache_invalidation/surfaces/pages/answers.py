"""What goes to the client: the page, or that it has not changed, with headers that say so."""

import gzip
from typing import Any, Final, cast

from django.conf import settings as django_settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response

from cache_invalidation.conf import settings
from cache_invalidation.surfaces.pages.stored import Page, Unread
from cache_invalidation.surfaces.pages.visits import PASSED_BY, VISIT, VISITS, Visit

#: Browsers keep a page, and ask each time whether it still holds.
ASK_EACH_TIME: Final = "private, no-cache"

# What a request took this time, which is no part of the page that a client has.
_TIMING: Final = "Server-Timing"


def answered(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Store the page of `response` if that is right, and return what goes to the client."""
    visits: list[Visit] = vars(request)[VISITS]
    for visit in visits:
        try:
            visit.end(response)
        finally:
            visit.give_up()
    last: Visit | None = vars(response).pop(VISIT, None)
    if last is not None:
        response = _conditional(request, response, last)
    if _says_status():
        if visits:
            response.headers["Cache-Status"] = _status(visits[-1])
        elif reason := vars(request).get(PASSED_BY):
            response.headers["Cache-Status"] = _bypassed(reason)
    return response


def give_up(request: HttpRequest) -> None:
    """Let others compute the pages of a request that comes to nothing."""
    visits: list[Visit] = vars(request)[VISITS]
    for visit in visits:
        visit.give_up()


def _conditional(request: HttpRequest, response: Any, visit: Visit) -> HttpResponseBase:
    """Add what lets a client ask again, and answer one that does."""
    page = visit.page
    if page is None or not (visit.is_stored or visit.read.is_hit):
        return cast(HttpResponseBase, response)
    if not response.has_header("Cache-Control"):
        response.headers["Cache-Control"] = ASK_EACH_TIME
    if response.status_code != 200 or not (etag := _etag(response, page)):
        return cast(HttpResponseBase, response)
    response.headers.setdefault("ETag", etag)
    found: Any = get_conditional_response(request, response.headers["ETag"], response=response)
    if found.status_code != 304:
        found = response  # Other conditions are for the project to look at.
    elif _TIMING in response.headers:
        found.headers[_TIMING] = response.headers[_TIMING]
    return cast(HttpResponseBase, found)


def _etag(response: Any, page: Page) -> str | None:
    """Return the entity tag, if what goes out is what the view returned, or the same compressed."""
    if response.streaming:
        return None
    if (isinstance(response, Unread) and response.is_unread) or response.content == page.body:
        return page.etag
    is_zipped = response.headers.get("Content-Encoding") == "gzip"
    if is_zipped and _unzipped(response.content) == page.body:
        return f"W/{page.etag.removeprefix('W/')}"
    return None


def _unzipped(sent: bytes) -> bytes | None:
    try:
        return gzip.decompress(sent)
    except (OSError, EOFError):
        return None


def _says_status() -> bool:
    wanted = settings.CACHE_STATUS
    return bool(django_settings.DEBUG if wanted is None else wanted)


def _status(visit: Visit) -> str:
    """Return the header ``Cache-Status`` as RFC 9211 has it."""
    if visit.read.is_hit:
        return "cache_invalidation; hit"
    if visit.is_stored:
        return "cache_invalidation; fwd=miss; stored"
    return _bypassed(next(iter(visit.reasons), "none"))


def _bypassed(reason: str) -> str:
    return f"cache_invalidation; fwd=bypass; detail={reason}"
