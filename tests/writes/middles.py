"""Having something happen in the middle of a write."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.db import connections

from tests.testapp.halfway import HookedField


@contextmanager
def between_the_tables(act: Callable[[Any], object]) -> Iterator[None]:
    """Call ``act(instance)`` in each save of a `Depot`, once its parent's table is written."""
    with mock.patch.object(HookedField, "hook", staticmethod(act)):
        yield


_TABLES = "category|counter|building|product_tags"
# Not what is sent to take SQLite's lock.
_WRITES = re.compile(
    rf"(INSERT(?: OR IGNORE)? INTO|UPDATE|DELETE FROM) \"?testapp_({_TABLES})\b(?!.* 1 = 0)"
)


@contextmanager
def after_each_statement(using: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """Call ``act()`` after each statement that writes rows of a test, before its result is used.

    An `execute_wrapper` of the project can do so.
    """
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if _WRITES.match(sql):
            seen.append(sql)
            act()
        return result

    with connections[using].execute_wrapper(wrapper):
        yield seen
