"""One request for a page that is cached: look it up, or compute it and take note, and keep it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import parse_etags
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language
from django.views import View

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.read import Outcome, Read
from cache_invalidation.reads.storing import give_up
from cache_invalidation.surfaces.inputs.always import always
from cache_invalidation.surfaces.inputs.trail import Trail
from cache_invalidation.surfaces.keeping import Keeping
from cache_invalidation.surfaces.keeping import told as told_or_why_not
from cache_invalidation.surfaces.pages.contents import contents
from cache_invalidation.surfaces.pages.decision import REASONS, Shown, attributes, why_not
from cache_invalidation.surfaces.pages.identity import identity, told
from cache_invalidation.surfaces.pages.options import Options
from cache_invalidation.surfaces.pages.outlook import Outlook
from cache_invalidation.surfaces.pages.requests import recording
from cache_invalidation.surfaces.pages.stored import CODEC, ENOUGH, Page, etag_of, kind_of
from cache_invalidation.surfaces.pages.swapping import record_of
from cache_invalidation.surfaces.pages.views import is_of_rest, name_of
from cache_invalidation.tags import expand, page_tag

#: Where the visits of a request are, once the middleware has seen it; and that of a response.
VISITS: Final = "_cache_invalidation_visits"
VISIT: Final = "_cache_invalidation_visit"

#: Why a request was nobody's visit, on the request.
PASSED_BY: Final = "_cache_invalidation_passed_by"


def host_of(request: HttpRequest) -> str:
    """Return the host that was asked; raise `DisallowedHost` if it is not this site's."""
    return request.get_host()


def pass_by(request: Any, view: Callable[..., Any]) -> None:
    """Say, and count, that nothing of `view` is stored, as it has the decorator of the others."""
    counters.add(f"unstored:page:{name_of(view)}:rest")
    vars(request)[PASSED_BY] = "rest"


class Visit:
    """One request for the page of a view."""

    def __init__(self, request: HttpRequest, read: Read, trail: Trail, options: Options) -> None:
        self.read = read
        #: Why the page is not stored, once that is known.
        self.reasons: dict[str, str] = {}
        self.is_stored = False
        self.page: Page | None = None
        self._request = request
        self._keeping = Keeping(read, trail)
        self.inputs = self._keeping.inputs
        self._options = options
        self._context: Any = None
        self._shown: Shown | None = None

    @classmethod
    def of(
        cls, request: Any, view: Callable[..., Any], given: Any, options: Options
    ) -> "Visit | None":
        """Return the visit that a request for `view` with the arguments `given` is.

        None if it is nobody's business: the middleware is not there or the method is another one,
        or somebody records the request already, who will know what this view reads. Or if it is a
        view of REST framework: there is `cached_response` for these.

        Raises `TypeError` for a method in the place of a function.
        """
        if isinstance(request, View) and not is_of_rest(request.dispatch):
            raise TypeError(
                f"cache_page decorates functions, and {name_of(view)} is a method: write "
                "@method_decorator(cache_page(…))."
            )
        if not isinstance(request, HttpRequest) or is_of_rest(view):
            pass_by(getattr(request, "_request", request), view)
            return None
        return cls.begin(
            request,
            name_of(view),
            lambda: (identity(view, request), told(given, request), options.key_prefix),
            Outlook(request, options.of_user),
            view,
            options,
        )

    @classmethod
    def begin(
        cls,
        request: HttpRequest,
        name: str,
        about: Callable[[], tuple[Any, ...]],
        outlook: Outlook,
        view: Callable[..., Any],
        options: Options,
    ) -> Self | None:
        """Return a visit of what is called `name`; None as in `of`.

        `about` returns what is an input in any case; it raises `Opaque` for what cannot be told.
        """
        if request.method not in ("GET", "HEAD") or record_of(request) is not None:
            return None
        visits = vars(request).get(VISITS)
        if visits is None:
            return None
        try:
            where = request.scheme, host_of(request), request.path_info
            said, reason = told_or_why_not(f"page:{name}", lambda: always(where, *about()))
        except Exception:  # noqa: BLE001 - such as a host that is not allowed, which the view finds
            return None
        if said is None:
            vars(request)[PASSED_BY] = reason
            return None
        trail = Trail(f"page:{name}", said, outlook.current)
        tags = expand((page_tag(name), page_tag(request.path_info)))
        read = Read(f"page:{name}", trail.key, tags, options.timeout, options.lock, records=True)
        read.function, read.codec, read.near = view, CODEC, options.near
        visit = cls(request, read, trail, options)
        visits.append(visit)
        return visit

    def __reduce__(self) -> Any:
        """Be None where a response is pickled, as by the cache of somebody else."""
        return type(None), ()

    def attempt(self) -> Generator[float, None, None]:
        """Look for the page, as `protocol.attempt` does.

        If the client has one, for its head first: if that says it is the same, its body need not
        come.
        """
        tags = parse_etags(vars(self._request)["META"].get("HTTP_IF_NONE_MATCH", ""))
        if tags and self._options.statuses == {200} and self._may_be_fetched_later():
            self.read.head = ENOUGH
        yield from self._keeping.attempt(self._look)

    def _may_be_fetched_later(self) -> bool:
        """Whether the body can be fetched when a middleware looks at it."""
        # That may be in an event loop, where nobody may wait for it.
        return not isinstance(self._request, ASGIRequest)

    def _look(self, read: Read) -> Outcome:
        outcome = self._keeping.trail.look(read)
        if read.is_hit and read.head:
            page = read.value
            if isinstance(page, Page) and (page.body is not None or self._has(page)):
                return outcome
            read.head = 0
            outcome = self._keeping.trail.look(read)
        return outcome

    def _has(self, page: Page) -> bool:
        """Whether the client says that it has just this page."""
        held = get_conditional_response(self._request, page.etag, response=None)
        return held is not None and held.status_code == 304

    def answer(self, compute: Callable[[], Any]) -> HttpResponseBase:
        """Return the response of a hit; `compute` makes it anew, should its body be gone."""
        self.page = page = self.read.value
        fetch = partial(self._body, page, compute) if page.body is None else None
        return self._marked(page.response(fetch))

    def _body(self, known: Page, compute: Callable[[], Any]) -> bytes:
        """Return the body of a page of which the head is known."""
        read = replace(self.read, head=0)
        try:
            self._keeping.trail.look(read)
        except CacheInvalidationError:
            read.is_hit = False
        page = read.value if read.is_hit else None
        if isinstance(page, Page) and page.body is not None:
            if page.etag == known.etag:
                self.page = page  # Else it gets no tag: the head is that of another one.
            return page.body
        response = compute()
        if not getattr(response, "is_rendered", True):
            response.render()
        found: bytes = response.getvalue()
        return found

    def _marked(self, response: HttpResponseBase) -> HttpResponseBase:
        vars(response)[VISIT] = self
        return response

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take note of what is looked at and read inside of the block."""
        manner = get_language(), get_current_timezone()
        with (
            recording(self._request, self.inputs, self._options.of_user),
            self._keeping.computing(),
        ):
            yield
        if (get_language(), get_current_timezone()) != manner:
            self.inputs.refuse("language", REASONS["language"])

    def take(self, response: Any) -> Any:
        """Take what the view has returned, and return what the handler shall have."""
        self._keeping.hand_up()
        if not isinstance(response, HttpResponseBase):
            return response  # Which Django says something about.
        if getattr(response, "is_rendered", True):
            self._copy(response)
        else:
            late: Any = response
            self._context = self._unrendered(late)
            late.render = partial(self._render, late)
        return self._marked(response)

    def _render(self, response: Any) -> Any:
        del response.render
        if response.is_rendered or not self._is_as_before(response):
            self.inputs.refuse("template", REASONS["template"])
        with self.computing():
            rendered = response.render()
        self._copy(rendered)
        return rendered

    def _unrendered(self, response: Any) -> Any:
        """Return what `response` is rendered from: what a middleware may change, on a miss only."""
        told = dict(response.items()), response.cookies.output(), attributes(response)
        made_of = contents(response.template_name), contents(response.context_data)
        return told, response.status_code, len(response._post_render_callbacks), made_of

    def _is_as_before(self, response: Any) -> bool:
        """Whether it still is what the view has returned."""
        return bool(self._context == self._unrendered(response))

    def _copy(self, response: HttpResponseBase) -> None:
        """Keep what the view has returned, before any middleware changes it."""
        self._shown = Shown.of(response)
        if response.streaming:
            return
        body = response.content  # type: ignore[attr-defined]
        headers = [[name, str(value)] for name, value in response.items()]
        self.page = Page(
            status=response.status_code,
            reason=getattr(response, "_reason_phrase", None),
            charset=getattr(response, "_charset", None),
            etag=response.headers.get("ETag") or etag_of(body, headers),
            headers=headers,
            attributes=self._shown.attributes or {},
            length=len(body),
            kind=kind_of(response),
            body=body,
        )

    def end(self, final: HttpResponseBase) -> None:
        """Store the page if that is right; called with what the outermost middleware returns."""
        if self.read.is_hit or not self._keeping.is_computed:
            return
        is_same = vars(final).get(VISIT) is self
        refusals = why_not(
            self._request.method,
            self.inputs.refusals,
            self._shown,
            Shown.of(final) if is_same else None,
            self._options.statuses,
        )
        self.reasons = self._keeping.keep(self.page, refusals)
        self.is_stored = not self.reasons

    def give_up(self) -> None:
        """Let others compute the page, if nothing came of it."""
        give_up(self.read)
