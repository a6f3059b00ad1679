"""What a method leaves behind besides its response would not be there on a hit."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import override_settings
from django.urls import path
from django.utils.translation import activate
from rest_framework.permissions import BasePermission
from rest_framework.response import Response

from cache_invalidation.rest import CachedResponseMixin
from tests.rest.conftest import Asker, status, told
from tests.rest.odd import Base

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("goods")]


class _Prepares(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        request.log, view.log, view.unused = [], [], []
        return True


class Tells(Base):
    """Says in headers what was left behind."""

    permission_classes = [_Prepares]
    log: Any

    def finalize_response(self, request, response, *args, **kwargs):
        """Look at everything."""
        found = super().finalize_response(request, response, *args, **kwargs)
        found.headers["X-Left"] = (
            f"{request.log} {self.log} {getattr(request.user, 'theme', 'none')}"
        )
        return found


class OnRequest(Tells):
    """Adds to what is on the request."""

    def get(self, request):
        """Add to it."""
        request.log.append("a")
        return Response({})


class OnView(Tells):
    """Adds to what is on the view."""

    def get(self, request):
        """Add to it."""
        self.log.append("a")
        return Response({})


class OnUser(Tells):
    """Puts something on the user."""

    def get(self, request):
        """Put it there."""
        request.user.theme = "dark"
        return Response({})


class OnUserOfKind(OnUser):
    """Puts something on the user, of whom only the kind counts."""

    cache_vary_on: Any = {"user": lambda user: user.is_staff}


class Nothing(Tells):
    """Looks at everything and changes nothing."""

    def get(self, request):
        """Look at it."""
        return Response({"log": request.log + self.log, "name": request.user.username})


class Speaks(Base):
    """Leaves its language in force."""

    def get(self, request):
        """Speak German."""
        activate("de")
        return Response({})


class Embeddable(Response):
    """May be in a frame."""

    xframe_options_exempt = True


class InFrame(Base):
    """Returns a response that may be in a frame."""

    def get(self, request):
        """Return it."""
        return Embeddable({})


class ByClass(Base):
    """Tells by its class who is logged in."""

    cache_vary_on: Any = {"user": lambda user: user.is_staff}

    def get(self, request):
        """Return whether somebody is."""
        return Response({"anonymous": isinstance(request.user, AnonymousUser)})


VIEWS = (OnRequest, OnView, OnUser, OnUserOfKind, Nothing, Speaks, InFrame, ByClass)


def _cached(view: Any) -> Any:
    options = {name: value for name, value in vars(view).items() if name.startswith("cache_")}
    return type(view.__name__, (CachedResponseMixin, view), options)


urlpatterns = [
    *[path(f"{view.__name__}/", _cached(view).as_view()) for view in VIEWS],
    *[path(f"uncached/{view.__name__}/", view.as_view()) for view in VIEWS],
]


@pytest.fixture(autouse=True)
def served(site: None, settings: Any) -> Any:
    frames = "django.middleware.clickjacking.XFrameOptionsMiddleware"
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[*settings.MIDDLEWARE, frames]):
        yield


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (OnRequest, "fwd=bypass; detail=request"),
        (OnView, "fwd=bypass; detail=view"),
        (OnUser, "fwd=bypass; detail=request"),
        (OnUserOfKind, "fwd=bypass; detail=request"),
        (Nothing, "hit"),
        (Speaks, "fwd=bypass; detail=language"),
        (InFrame, "hit"),
        (ByClass, "hit"),
    ],
)
def test_it_is_there_each_time(view: Any, expected: str) -> None:
    address = f"/{view.__name__}/"
    for asker in (Asker(), Asker("alice"), Asker(), Asker("alice")):
        found = asker.get(address)
        assert told(found) == told(asker.uncached(address))
    assert status(found) == expected
