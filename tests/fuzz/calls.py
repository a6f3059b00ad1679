"""Writes by functions, which have names to be shown by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from django.db.models import QuerySet
from hypothesis import strategies as st

from tests.fuzz.schemas import Table


class Write(Protocol):
    def run(self, alias: str) -> None:
        """Do it on the database `alias`."""


@dataclass(frozen=True)
class Call:
    """A write by a function that has a name to be shown by."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.function.__name__}({', '.join(map(repr, self.arguments))})"

    def run(self, alias: str) -> None:
        self.function(alias, *self.arguments)


def call(function: Callable[..., object], *arguments: Any) -> st.SearchStrategy[Call]:
    strategies = [a if isinstance(a, st.SearchStrategy) else st.just(a) for a in arguments]
    return st.tuples(*strategies).map(lambda drawn: Call(function, drawn))


def rows_in(table: Table, alias: str) -> QuerySet[Any]:
    return table.model._base_manager.using(alias)
