"""What is decorated wrongly is refused, with what to write instead."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.views.generic import View

from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.views import cache_page
from tests.pages.visitors import get, status


def _view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("here")


class _Undecorated(View):
    """A view that forgets `method_decorator`."""

    @cache_page(60)
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("here")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lock": "yes"}, "lock='yes': it must be True or False"),
        ({"statuses": 200}, "statuses=200: it must be a list of numbers"),
        ({"statuses": ["200"]}, "it must be a list of numbers"),
        ({"vary_on": ["user"]}, "it takes a dictionary"),
        ({"vary_on": "user"}, "it takes a dictionary"),
        ({"vary_on": {"user": "is_staff"}}, "a function of the user, not 'is_staff'"),
    ],
)
def test_options_of_a_wrong_type_are_refused(options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        cache_page(60, **options)


def test_a_decorator_without_brackets_is_refused() -> None:
    undecorated: Any = _view
    with pytest.raises(TypeError, match=r"needs brackets, as in @cache_page\(300\)"):
        cache_page(undecorated)


def test_a_class_is_refused() -> None:
    kind: Any = View
    with pytest.raises(TypeError, match=r'View is a class: write .*name="dispatch"'):
        cache_page(60)(kind)


def test_a_method_is_refused_when_it_is_called() -> None:
    with pytest.raises(TypeError, match=r"_Undecorated\.get is a method: write @method_decorator"):
        _Undecorated.as_view()(RequestFactory().get("/"))


@pytest.mark.django_db(transaction=True)
def test_a_setting_that_cannot_be_used_is_the_reason_why_nothing_is_stored() -> None:
    with override_settings(CACHE_INVALIDATION={"CODE_VERSION": 3, "CACHE_STATUS": True}):
        assert status(get("/here/")) == "fwd=bypass; detail=settings"
        counters.flush()
        assert read_metrics()["not_stored"]["page:tests.shop.views.here"] == {"settings": 1}
