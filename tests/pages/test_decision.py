"""May this response be stored: a table of cases."""

from typing import Any, Final

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from cache_invalidation.surfaces.pages.decision import REASONS, Shown, directives, why_not


def _response(status: int = 200, **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse("x", status=status, headers=named)


def _with_cookie() -> HttpResponse:
    response = HttpResponse()
    response.set_cookie("visitor", "1")
    return response


def _with(**attributes: Any) -> HttpResponse:
    response = HttpResponse()
    vars(response).update(attributes)
    return response


_OK: Final = HttpResponse()

CASES: Final[dict[str, tuple[HttpResponseBase, HttpResponseBase, set[str]]]] = {
    "a plain page": (_OK, _OK, set()),
    "streamed": (StreamingHttpResponse(), StreamingHttpResponse(), {"streaming"}),
    "redirect": (_response(302), _response(302), {"status"}),
    "not found": (_response(404), _response(404), {"status"}),
    "partial": (_response(206), _response(206), {"status"}),
    "a cookie of the view": (_with_cookie(), _with_cookie(), {"set-cookie"}),
    "a cookie of a middleware": (_OK, _with_cookie(), set()),
    "a cookie by its header": (_response(Set_Cookie="a=b"), _OK, {"set-cookie"}),
    "private, by the view": (_response(Cache_Control="private"), _OK, {"cache-control"}),
    "private, by a middleware": (_OK, _response(Cache_Control="private"), {"cache-control"}),
    "in capitals": (_OK, _response(Cache_Control="max-age=3, PRIVATE"), {"cache-control"}),
    "no-store": (_OK, _response(Cache_Control="No-Store"), {"cache-control"}),
    "no-cache with a field": (_OK, _response(Cache_Control='no-cache="x"'), {"cache-control"}),
    "with blanks": (_OK, _response(Cache_Control=" private = x ,public"), {"cache-control"}),
    "only for a while": (_response(Cache_Control="max-age=3"), _OK, set()),
    "for everybody": (_response(Cache_Control="public"), _OK, set()),
    "a name that looks alike": (_OK, _response(Cache_Control="privately, x-no-store"), set()),
    "Vary with everything": (_response(Vary="*"), _OK, {"vary"}),
    "Vary among others": (_OK, _response(Vary="Cookie , * "), {"vary"}),
    "Vary with a cookie": (_OK, _response(Vary="Cookie"), set()),
    "exempt from frames": (_with(xframe_options_exempt=True), _OK, set()),
    "more than plain values": (_with(callback=print), _OK, {"response"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_page_is_stored_if_nothing_speaks_against_it(case: str) -> None:
    view, final, reasons = CASES[case]
    found = why_not("GET", {}, Shown.of(view), Shown.of(final))
    assert set(found) == reasons
    assert all(found[reason] == REASONS[reason] for reason in reasons)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", None])
def test_other_methods_are_not(method: str | None) -> None:
    assert set(why_not(method, {}, Shown.of(_OK), Shown.of(_OK))) == {"method"}


def test_what_the_inputs_say_comes_first() -> None:
    found = why_not("GET", {"session": "it is read"}, Shown.of(_with_cookie()), None)
    assert list(found) == ["session", "replaced"]


def test_a_project_may_want_other_statuses_as_well() -> None:
    shown = Shown.of(_response(404))
    assert not why_not("GET", {}, shown, shown, {200, 404})
    assert why_not("GET", {}, shown, shown, {301})


def test_directives_are_names_without_their_values() -> None:
    assert directives('Max-Age=3,  private="a, b" , no-cache') == {
        "max-age",
        "private",
        'b"',
        "no-cache",
    }
