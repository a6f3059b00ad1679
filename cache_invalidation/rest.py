"""Responses of REST framework that are never older than their data, and never somebody else's."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial, wraps
from types import MethodType
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.views import View
from rest_framework.request import Request

from cache_invalidation.reads.read import DEFAULT, Default
from cache_invalidation.surfaces.pages.options import Options
from cache_invalidation.surfaces.pages.views import NEEDS_MIDDLEWARE
from cache_invalidation.surfaces.responses.answering import respond

F = TypeVar("F", bound=Callable[..., Any])


def cached_response(
    timeout: float | timedelta | Default | None = DEFAULT,
    *,
    key_prefix: str | None = None,
    vary_on: Mapping[str, Callable[[Any], Any]] | None = None,
    lock: bool = False,
    statuses: Collection[int] = (200,),
    near: bool = False,
) -> Callable[[F], F]:
    """Keep the responses of a view until something changes that they were made from.

    For methods of an `APIView` or a viewset that take the request, and for functions below
    `api_view`. ``CachePageMiddleware`` has to be in ``MIDDLEWARE``, as the first. Authentication,
    permissions and throttles run for each request. Object permissions are looked at by the view,
    so a response depends on what they read.

    The arguments are those of `cache_page`.

    Raises `TypeError` or `ValueError` for options that cannot work, and `TypeError` for a
    coroutine, for a class, and above `api_view`.
    """
    options = Options.checked("cached_response", timeout, key_prefix, vary_on, lock, statuses, near)

    def decorate(function: Any) -> Any:
        if isinstance(function, type):
            name = function.__qualname__
            raise TypeError(
                f"cached_response decorates methods and functions, and {name} is a class: write "
                f"class {name}(CachedResponseMixin, …)."
            )
        if hasattr(function, "cls"):
            raise TypeError(
                f"cached_response is above api_view on {function.__qualname__}. Put it below all "
                "other decorators: permissions and throttles have to be asked first."
            )
        if iscoroutinefunction(function):
            raise TypeError(f"cached_response takes no coroutine such as {function.__qualname__}")

        @wraps(function)
        def cached_view(*args: Any, **kwargs: Any) -> Any:
            return respond(function, options, *args, **kwargs)

        setattr(cached_view, NEEDS_MIDDLEWARE, True)
        return cached_view

    return decorate


class CachedResponseMixin:
    """Keeps the responses of a view until something changes that they were made from.

    To be named before the view: ``class Products(CachedResponseMixin, ModelViewSet)``. It does for
    the actions of `cache_actions` what `cached_response` does for one method; ``get`` is that of a
    view without actions. Those of other methods than GET and HEAD are never kept.
    """

    cache_timeout: float | timedelta | Default | None = DEFAULT
    cache_actions: Collection[str] = ("list", "retrieve", "get")
    cache_vary_on: Mapping[str, Callable[[Any], Any]] | None = None
    cache_key_prefix: str | None = None
    cache_lock: bool = False
    cache_statuses: Collection[int] = (200,)
    cache_near: bool = False

    _cache_invalidation_needs_middleware = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise `TypeError` or `ValueError` for options, or an order of bases, that cannot work."""
        super().__init_subclass__(**kwargs)
        _options_of(cls, cls.__name__)
        if isinstance(cls.cache_actions, str):
            raise TypeError(
                f"{cls.__name__}: cache_actions={cls.cache_actions!r}: it must be a list of names."
            )
        if issubclass(cls, View) and not hasattr(super(), "initial"):
            raise TypeError(
                f"{cls.__name__}: CachedResponseMixin has to come before the view, which has to be "
                f"one of REST framework: class {cls.__name__}(CachedResponseMixin, …)."
            )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let the request in or not, as the view does, and have its response looked up."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        method = (request.method or "").lower()
        handler = getattr(self, method, None) if method in ("get", "head") else None
        if isinstance(handler, MethodType) and handler.__name__ in self.cache_actions:
            cached: Any = partial(respond, handler.__func__, _options_of(self, type(self).__name__))
            # For this request, as the instance is.
            setattr(self, method, MethodType(cached, self))


def _options_of(view: Any, caller: str) -> Options:
    return Options.checked(
        caller,
        view.cache_timeout,
        view.cache_key_prefix,
        view.cache_vary_on,
        view.cache_lock,
        view.cache_statuses,
        view.cache_near,
    )
