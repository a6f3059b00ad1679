"""What was sent with a form: only a POST has it, so looking there tells no other requests apart."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django import forms
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template import Context, Engine
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.datastructures import MultiValueDict

from cache_invalidation.views import cache_page
from tests.pages.conftest import MIDDLEWARE
from tests.pages.visitors import get, status
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

STORED, HIT, REFUSED = "fwd=miss; stored", "hit", "fwd=bypass; detail=request"


class Question(forms.Form):
    """A form that is shown empty first."""

    text = forms.CharField()


@cache_page(60)
def asks(request: HttpRequest) -> HttpResponse:
    form = Question(request.POST or None, request.FILES or None)
    if form.is_valid():
        return HttpResponse(f"thank you for {form.cleaned_data['text']}")
    return HttpResponse(f"{form.as_p()} {Product.objects.count()}")


@cache_page(60)
async def awaited(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.POST or request.FILES or "nothing"))


@cache_page(60)
def shows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.POST!r} {request.POST.encoding} {request.FILES!r}")


@cache_page(60)
def changes(request: HttpRequest) -> HttpResponse:
    request.FILES["a"] = "b"  # type: ignore[assignment]
    return HttpResponse("changed")


@cache_page(60)
def replaces(request: Any) -> HttpResponse:
    before = request.POST
    request.POST = QueryDict("a=1")
    return HttpResponse(f"{len(before)} {request.POST['a']}")


@cache_page(60)
def claims(request: HttpRequest) -> HttpResponse:
    request.method = "POST"
    return HttpResponse(f"{len(request.POST)}")


@cache_page(60)
def handles(request: HttpRequest) -> HttpResponse:
    if "late" in request.GET:
        bool(request.POST)
    try:
        request.upload_handlers = [MemoryFileUploadHandler(request)]
    except AttributeError as error:
        return HttpResponse(str(error))
    return HttpResponse(f"{len(request.POST)} {len(request.upload_handlers)}")


@cache_page(60)
def reads_on(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{len(request.POST)}".encode() + request.read())


_BLOCK = Engine(
    libraries={"ours": "cache_invalidation.templatetags.cache_invalidation"}
).from_string("{% load ours %}{% cached %}[{{ request.POST.text }}]{% endcached %}")


def has_block(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_BLOCK.render(Context({"request": request})))


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (asks, awaited, shows, changes, replaces, claims, handles, reads_on, has_block)
]


@pytest.fixture(autouse=True)
def served(site: None) -> Any:
    middleware = [each for each in MIDDLEWARE if "csrf" not in each]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield


class Eager(WSGIRequest):
    """A request that reads forms of other methods, too."""

    def _load_post_and_files(self) -> None:
        self._post = QueryDict(self.META.get("HTTP_FORM", ""))
        self._files: MultiValueDict[str, Any] = MultiValueDict()


class Looser(WSGIRequest):
    """A request with a form of its own."""

    @property
    def POST(self) -> QueryDict:  # type: ignore[override]  # noqa: N802
        return QueryDict(self.META.get("HTTP_FORM", ""))


def _before(prepare: Callable[[Any], None]) -> Any:
    def middleware(get_response: Any) -> Any:
        def called(request: Any) -> Any:
            prepare(request)
            return get_response(request)

        return called

    return middleware


_put = _before(lambda request: vars(request).update(_forms_of(request)))
_coded = _before(lambda request: setattr(request, "encoding", request.headers.get("Coding")))


def _forms_of(request: HttpRequest) -> dict[str, Any]:
    form = request.headers.get("Form")
    return {} if form is None else {"_post": None if form == "no" else QueryDict(form)}


def _as(kind: type) -> Any:
    return _before(lambda request: setattr(request, "__class__", kind))


_eager, _loose = _as(Eager), _as(Looser)


def preparing(name: str) -> Any:
    """Have a middleware of this module come last."""
    middleware = [each for each in MIDDLEWARE if "csrf" not in each]
    return override_settings(MIDDLEWARE=[*middleware, f"{__name__}.{name}"])


def test_a_form_that_was_not_sent_is_no_part_of_a_page() -> None:
    assert status(get("/asks/")) == STORED
    assert status(get("/asks/")) == HIT
    assert status(Client().head("/asks/")) == HIT
    sent = Client().post("/asks/", {"text": "tea"})
    assert sent.content == b"thank you for tea"
    assert "Cache-Status" not in sent.headers or HIT not in sent.headers["Cache-Status"]
    assert status(get("/asks/")) == HIT
    Product.objects.create(name="boot")
    assert status(get("/asks/")) == STORED


def test_nor_is_one_in_the_body_of_a_get() -> None:
    for text, expected in (("tea", STORED), ("milk", HIT)):
        found = Client().generic(
            "GET", "/asks/", f"text={text}", "application/x-www-form-urlencoded"
        )
        assert (status(found), b"thank" in found.content) == (expected, False)


def test_asynchronous_requests_are_no_others() -> None:
    for expected in (STORED, HIT):
        found = async_to_sync(AsyncClient().get)("/awaited/")
        assert (found.content, status(found)) == (b"nothing", expected)


def test_it_is_the_same_dictionary_each_time() -> None:
    for expected in (STORED, HIT):
        found = get("/shows/")
        assert found.content == b"<QueryDict: {}> utf-8 <MultiValueDict: {}>"
        assert status(found) == expected


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/changes/", b"changed"),
        ("/replaces/", b"0 1"),
        ("/claims/", b"0"),
        ("/handles/", b"0 1"),
        ("/handles/?late=1", b"You cannot set the upload handlers after the upload"),
    ],
)
def test_what_a_view_does_with_it_is_done_each_time(address: str, body: bytes) -> None:
    for _ in range(2):
        found = get(address)
        assert found.content.startswith(body)
        if "late" not in address:  # Which does nothing in the end.
            assert status(found) == REFUSED


def test_the_body_is_still_there_and_keeps_a_page_from_being_stored() -> None:
    for text in (b"one", b"two"):
        found = Client().generic("GET", "/reads_on/", text)
        assert (found.content, status(found)) == (b"0" + text, "fwd=bypass; detail=body")


def test_what_somebody_has_put_there_counts() -> None:
    with preparing("_put"):
        assert get("/shows/").content.startswith(b"<QueryDict: {}>")
        for form in ("a=1", "a=2", "a=1"):
            found = get("/shows/", Form=form)
            assert f"{{'a': ['{form[-1]}']}}".encode() in found.content
        assert status(found) == HIT
        assert get("/awaited/", Form="no").content == b"nothing"


def test_how_it_would_be_read_counts() -> None:
    with preparing("_coded"):
        for coding in ("utf-8", "koi8-r", "utf-8"):
            assert coding.encode() in get("/shows/", Coding=coding).content


@pytest.mark.parametrize("kind", ["_eager", "_loose"])
def test_requests_that_read_more_are_believed_nothing(kind: str) -> None:
    with preparing(kind):
        for text in ("tea", "milk"):
            found = get("/asks/", Form=f"text={text}")
            assert found.content == f"thank you for {text}".encode()


def test_a_block_of_what_was_sent_is_shown_to_nobody_else() -> None:
    for text in ("tea", "milk"):
        sent = Client().post("/has_block/", {"text": text, "file": BytesIO(b"x")})
        assert sent.content == f"[{text}]".encode()
    for _ in range(2):
        assert get("/has_block/").content == b"[]"
