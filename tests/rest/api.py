"""A small API; nothing in it knows of a cache."""

import json
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Prefetch
from django.http import HttpResponse
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.pagination import (
    CursorPagination,
    LimitOffsetPagination,
    PageNumberPagination,
)
from rest_framework.permissions import BasePermission, DjangoModelPermissionsOrAnonReadOnly
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.versioning import QueryParameterVersioning, URLPathVersioning
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from tests.testapp.models import Author, Category, Product, Review


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Token name scope``; the scope is what the token is good for."""

    def authenticate(self, request):
        """Return the user that the token names, and its scope."""
        words = get_authorization_header(request).decode().split()
        if not words or words[0] != "Token":
            return None
        try:
            return User.objects.get(username=words[1]), {"scope": (words[2:] or ["all"])[0]}
        except User.DoesNotExist:
            raise AuthenticationFailed("no such user") from None

    def authenticate_header(self, request):
        """Return what to ask for."""
        return "Token"


class LinesRenderer(BaseRenderer):
    """One row in a line."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(self, data, accepted_media_type=None, renderer_context=None):
        """Return the rows, sorted keys first."""
        rows = data.get("results", [data]) if isinstance(data, dict) else data
        return "\n".join(json.dumps(row, sort_keys=True, default=str) for row in rows)


class SmallPages(PageNumberPagination):
    """By ``page`` and ``page_size``."""

    page_size = 3
    page_size_query_param = "page_size"
    max_page_size = 5


class Parts(LimitOffsetPagination):
    """By ``limit`` and ``offset``."""

    default_limit = 3


class Cursors(CursorPagination):
    """By ``cursor``."""

    page_size = 2
    ordering = "pk"


class PricesForStaff(serializers.ModelSerializer[Product]):
    """Shows what is in stock to staff only, and is not the same in both versions."""

    class Meta:
        model = Product
        fields = ["id", "name", "price", "category", "stock"]

    def to_representation(self, instance):
        """Return what whoever asks may see."""
        found = super().to_representation(instance)
        request = self.context["request"]
        if not getattr(request.user, "is_staff", False):
            del found["stock"]
        if request.version == "v2":
            found["title"] = found.pop("name")
        return found


class CategorySerializer(serializers.ModelSerializer[Category]):
    """With the names of its products."""

    products: Any = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)

    class Meta:
        model = Category
        fields = ["id", "name", "products"]

    def to_representation(self, instance):
        """Return it as the version has it."""
        found = super().to_representation(instance)
        return {"new": found} if self.context["request"].version == "v2" else found


class ReviewSerializer(serializers.ModelSerializer[Review]):
    """As it is."""

    class Meta:
        model = Review
        fields = ["id", "text", "rating"]


class Versions(URLPathVersioning):
    """``/v1/`` and ``/v2/``."""

    allowed_versions = ("v1", "v2")


class VersionsByQuery(QueryParameterVersioning):
    """``?version=v1`` and ``?version=v2``."""

    default_version = "v1"
    allowed_versions = ("v1", "v2")


class ByName(BasePermission):
    """Reviews are for the authors of that name, whom a table lists; and for staff."""

    def has_permission(self, request, view):
        """Let everybody in."""
        return True

    def has_object_permission(self, request, view, obj):
        """Ask the table."""
        user = request.user
        return user.is_staff or Author.objects.filter(name=f"{user.username}:{obj.rating}").exists()


class FewAtATime(SimpleRateThrottle):
    """Counts for each user."""

    scope = "few"
    rate = "2/hour"
    THROTTLE_RATES = {"few": "2/hour"}

    def get_cache_key(self, request, view):
        """Return who is counted."""
        return f"throttle_few_{request.user.pk}"


class Common(APIView):
    """What all views have."""

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer, LinesRenderer]
    versioning_class: Any = Versions


class Products(Common, ModelViewSet[Product]):
    """With django-filter, search, ordering, pages and the permissions of Django."""

    queryset = Product.objects.order_by("pk")
    serializer_class = PricesForStaff
    pagination_class = SmallPages
    permission_classes = [DjangoModelPermissionsOrAnonReadOnly]
    filter_backends = [filters.DjangoFilterBackend, SearchFilter, OrderingFilter]
    filterset_fields = {"category": ["exact"], "price": ["gte", "lte"]}
    search_fields = ["name"]
    ordering_fields = ["name", "price"]

    @action(detail=False)
    def cheap(self, request, **kwargs):
        """Return the names of those that cost nothing."""
        return Response([product.name for product in self.get_queryset().filter(price=0)])


class Categories(Common, ReadOnlyModelViewSet[Category]):
    """With limits and offsets, and a version that is no part of the path."""

    # Rows without an order come as the database likes, which may change without a write.
    queryset = Category.objects.order_by("pk").prefetch_related(
        Prefetch("products", Product.objects.order_by("pk"))
    )
    serializer_class = CategorySerializer
    pagination_class = Parts
    versioning_class = VersionsByQuery


class Reviews(Common, ReadOnlyModelViewSet[Review]):
    """With cursors, for those who may see them."""

    queryset = Review.objects.all()
    serializer_class = ReviewSerializer
    pagination_class = Cursors
    permission_classes = [ByName]


class Scarce(Common, ReadOnlyModelViewSet[Product]):
    """With a throttle, and without pages."""

    queryset = Product.objects.order_by("pk")
    serializer_class = PricesForStaff
    throttle_classes = [FewAtATime]
    filter_backends = [filters.DjangoFilterBackend]
    filterset_fields = {"price": ["gte"]}


class Account(Common):
    """A view without actions: who asks, with what, how."""

    def get(self, request, **kwargs):
        """Return who asks."""
        token = request.auth["scope"] if request.auth else None
        return Response({"user": request.user.username, "token": token, "to": kwargs})


class Plain(Common):
    """Is no `Response`."""

    def get(self, request, **kwargs):
        """Return text."""
        return HttpResponse(f"{Product.objects.count()} {request.query_params.get('q')}")


def total(request, /, **kwargs):
    """Return how many products there are, for `api_view`."""
    return Response({"total": Product.objects.count(), "q": request.query_params.get("q")})


def plain_total():
    """Return the view of `total`."""
    return api_view(["GET"])(total)
