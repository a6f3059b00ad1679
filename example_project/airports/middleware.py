"""How much work a request was: in the ``Server-Timing`` header, from which pages show it."""

from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponse


class PageCost:
    """Counts the queries and the time since it was made."""

    def __init__(self) -> None:
        self.queries = 0
        self._started = perf_counter()

    @property
    def milliseconds(self) -> float:
        return (perf_counter() - self._started) * 1000

    def count_query(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        """Count the query and run it: an ``execute_wrapper`` of a database connection."""
        self.queries += 1
        return execute(sql, params, many, context)


class PageCostMiddleware:
    """Tells browsers what each request cost, those that are answered from the cache as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        cost = PageCost()
        with ExitStack() as stack:
            for connection in connections.all():
                stack.enter_context(connection.execute_wrapper(cost.count_query))
            response = self.get_response(request)
        response["Server-Timing"] = f'total;dur={cost.milliseconds:.1f}, db;desc="{cost.queries}"'
        return response
