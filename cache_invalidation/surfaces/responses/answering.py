"""From a call of a view to its response, out of the cache or computed."""

from collections.abc import Callable
from functools import partial
from time import sleep
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.views import APIView

from cache_invalidation.surfaces.pages.options import Options
from cache_invalidation.surfaces.pages.visits import pass_by
from cache_invalidation.surfaces.responses.views import Called, view_of
from cache_invalidation.surfaces.responses.visits import ResponseVisit


def respond(function: Callable[..., Any], options: Options, /, *args: Any, **kwargs: Any) -> Any:
    """Return what `function` returns for these arguments, from the cache if it is there.

    It is a method of an `APIView` that takes the request, or a function below `api_view`.
    """
    is_method = bool(args) and isinstance(args[0], APIView)
    given = args[is_method:]
    request = given[0] if given else None
    if not isinstance(request, Request):
        if isinstance(request, HttpRequest):
            pass_by(request, function)
        return function(*args, **kwargs)
    view = args[0] if is_method else view_of(request)
    if view is None or view.request is not request:
        return function(*args, **kwargs)
    called = Called(view, function, is_method)
    visit = ResponseVisit.to(view, request, called, (given[1:], kwargs), options)
    if visit is None:
        return function(*args, **kwargs)
    for pause in visit.attempt():
        sleep(pause)
    if visit.read.is_hit:
        return visit.answer_with(partial(function, *args, **kwargs))
    with visit.computing():
        response = function(*args, **kwargs)
    return visit.take(response)
