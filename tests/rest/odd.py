"""Views that do more than make a response, each cached; ``/uncached`` are those that are not."""

from datetime import date
from typing import Any

from django.contrib.auth.models import User
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer, TemplateHTMLRenderer
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from cache_invalidation.rest import CachedResponseMixin, cached_response
from cache_invalidation.views import cache_page
from tests.rest import api
from tests.testapp.models import Product


class Base(api.Common):
    """A view of JSON, without versions."""

    renderer_classes = [JSONRenderer]
    versioning_class = None

    def get(self, request):
        """Return how many products there are."""
        return Response({"total": Product.objects.count()})


class Envelope(Base):
    """Puts something around the data of some requests, when the view is done."""

    def finalize_response(self, request, response, *args, **kwargs):
        """Return the response, in an envelope if that was asked for."""
        if "envelope" in request.query_params:
            response.data = {"data": response.data}
        elif "more" in request.query_params:
            response.data["more"] = request.query_params["more"]
        found = super().finalize_response(request, response, *args, **kwargs)
        found.headers["X-Asked"] = request.query_params.get("asked", "nothing")
        return found


class Typed(Envelope):
    """Has data that JSON has no types for, and a renderer that is not JSON."""

    renderer_classes = [JSONRenderer, api.LinesRenderer]

    def get(self, request):
        """Return dates and numbers."""
        return Response({"on": date(2026, 1, 2), "prices": tuple(Product.objects.values("price"))})

    def finalize_response(self, request, response, *args, **kwargs):
        """Say in a header which year it is."""
        response.headers["X-Year"] = str(response.data["on"].year)
        return super().finalize_response(request, response, *args, **kwargs)


class LeavesSomething(Base):
    """Has a header made of what the method has left on the view."""

    def get(self, request):
        """Leave the number."""
        self.total = Product.objects.count()
        return Response({})

    def finalize_response(self, request, response, *args, **kwargs):
        """Say how many there are."""
        found = super().finalize_response(request, response, *args, **kwargs)
        found.headers["X-Total"] = str(getattr(self, "total", "none"))
        return found


class SetsHeaders(Base):
    """Sets a header by way of the view."""

    def get(self, request):
        """Set it."""
        self.headers["X-Total"] = str(Product.objects.count())
        return Response({})


class HeaderOfResponse(Base):
    """Sets a header on the response."""

    def get(self, request):
        """Set it."""
        return Response({}, headers={"X-Total": str(Product.objects.count())})


class Context(Base):
    """Gives the renderer more than the framework does."""

    def get_renderer_context(self):
        """Have it indented for those who like that."""
        indent = 4 if "indent" in self.request.query_params else None
        return {**super().get_renderer_context(), "indent": indent}


class Membership(BasePermission):
    """Finds out, for the view to use, to which shop somebody belongs."""

    def has_permission(self, request, view):
        """Leave it on the request and on the view."""
        request.shop = f"shop of {request.user.username or 'nobody'}"
        view.shop = request.shop
        return True


class OfShop(Base):
    """Shows what the permission has left on the request."""

    permission_classes = [Membership]

    def get(self, request):
        """Return it."""
        return Response({"shop": request.shop})


class OfShopOnView(OfShop):
    """Shows what the permission has left on the view."""

    shop: str

    def get(self, request):
        """Return it."""
        return Response({"shop": self.shop})


class Lazy(Base):
    """Authenticates when somebody asks."""

    def perform_authentication(self, request):
        """Do not."""

    def get(self, request):
        """Return who asks."""
        return Response({"user": request.user.username})


class Inner(Base):
    """Asks the request of Django who is there."""

    def get(self, request):
        """Return who asks."""
        return Response({"user": request._request.user.username})


class Body(Base):
    """Looks at the body."""

    def get(self, request):
        """Return what is in it."""
        return Response(request.data)


class Session(Base):
    """Looks at the session."""

    def get(self, request):
        """Return what is in it."""
        return Response({"seen": request.session.get("seen")})


class Cookie(Base):
    """Sets a cookie."""

    def get(self, request):
        """Set it."""
        response = Response({})
        response.set_cookie("a", "b")
        return response


@method_decorator(never_cache, name="dispatch")
class Never(Base):
    """Is never to be cached."""


class Late(Base):
    """Reads when it is rendered."""

    def get(self, request):
        """Return an iterator, more or less."""
        return Response({"names": Product.objects.order_by("pk").values_list("name", flat=True)})


class Initial(Base):
    """Has more to do before the method is called."""

    def initial(self, request, *args, **kwargs):
        """Leave who asks."""
        super().initial(request, *args, **kwargs)
        self.who = request.user.username

    def get(self, request):
        """Return who that is."""
        return Response({"who": self.who})


class Page(Base):
    """Is made of a template."""

    renderer_classes = [TemplateHTMLRenderer]
    template_name = "shop/products.html"

    def get(self, request):
        """Return what the template needs."""
        return Response({"products": Product.objects.order_by("pk")})


class ByKind(Base):
    """Is one for staff and one for others."""

    cache_vary_on: Any = {"user": lambda user: user.is_staff}

    def get(self, request):
        """Return whether it is staff; and the name of whoever asks for that."""
        if "name" in request.query_params:
            return Response({"name": request.user.username})
        return Response({"staff": request.user.is_staff})


class ByWhetherNamed(Base):
    """Is one for those who have a name, and shows it."""

    cache_vary_on: Any = {"user": lambda user: bool(user.username)}

    def get(self, request):
        """Return the name."""
        return Response({"name": request.user.username})


class Raises(Base):
    """Does not come to an end."""

    def get(self, request):
        """Raise."""
        raise ValueError(Product.objects.count())


class Accepted(Base):
    """Is another status."""

    def get(self, request):
        """Return it."""
        return Response({"total": Product.objects.count()}, status=202)


class Nobody(Base):
    """Calls a user who is not there None."""

    def get(self, request):
        """Return whether somebody is there."""
        request_user = request.user
        return Response({"none": request_user is None, "is": isinstance(request_user, User)})


VIEWS = (
    *(Base, Envelope, Typed, LeavesSomething, SetsHeaders, HeaderOfResponse, Context, OfShop),
    *(OfShopOnView, Lazy, Inner, Body, Session, Cookie, Never, Late, Initial, Page, ByKind),
    *(ByWhetherNamed, Raises, Accepted, Nobody),
)


def _cached(view: Any) -> Any:
    options = {name: value for name, value in vars(view).items() if name.startswith("cache_")}
    options["__module__"] = "shop.views"
    return type(view.__name__, (CachedResponseMixin, view), options)


def count(request, /):
    """Return how many there are."""
    return Response({"total": Product.objects.count(), "user": request.user.username})


class DjangosOnMethod(ViewSet):
    """Has `cache_page` on the method."""

    authentication_classes = [api.TokenAuthentication]

    @method_decorator(cache_page(300))
    def list(self, request):
        """Return who asks."""
        return count(request)


@method_decorator(cache_page(300), name="dispatch")
class DjangosOnDispatch(ViewSet):
    """Has `cache_page` around everything."""

    authentication_classes = [api.TokenAuthentication]
    throttle_classes = [api.FewAtATime]

    def list(self, request):
        """Return who asks."""
        return count(request)


twice = cached_response(300)(cached_response(300)(count))

urlpatterns = [
    *[path(f"{view.__name__}/", _cached(view).as_view()) for view in VIEWS],
    *[path(f"uncached/{view.__name__}/", view.as_view()) for view in VIEWS],
    path("short/", _cached(Base).as_view(cache_timeout=1)),
    path("twice/", api_view(["GET"])(renderer_classes([JSONRenderer])(twice))),
    path("on_method/", DjangosOnMethod.as_view({"get": "list"})),
    path("on_dispatch/", DjangosOnDispatch.as_view({"get": "list"})),
    path("around/", cache_page(300)(api_view(["GET"])(count))),
    path("both/", cache_page(300)(_cached(Base).as_view())),
    path("more/", include("tests.rest.urls")),
]
