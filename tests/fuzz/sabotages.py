"""What is done to the core to see that the fuzz finds it, one part of the house after the other.

Most of those on unusual models take it a few hundred programs. With ``EVERY_SABOTAGE=1`` in the
environment all of them are tried:

    EVERY_SABOTAGE=1 python -m pytest tests/fuzz -k found_out
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from cache_invalidation.observing import relations, watcher
from cache_invalidation.reads import arguments, cached_calls
from cache_invalidation.rules.code import FromCode
from cache_invalidation.rules.plans import Plan, Plans
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import table_of
from cache_invalidation.writes import boundaries, saves, statements
from cache_invalidation.writes.begun import Begun

Sabotage = Callable[[], AbstractContextManager[Any]]


@contextmanager
def _unwatched() -> Iterator[None]:
    watcher.uninstall()
    try:
        yield
    finally:
        watcher.install(statements.write)


@contextmanager
def planning(change: Callable[[Plan, type], Plan]) -> Iterator[None]:
    """Have other rules fire than those that should."""
    make = Plans._make

    def make_changed(self: Plans, model: type) -> Plan:
        return change(make(self, model), table_of(model))

    with mock.patch.object(Plans, "_make", make_changed):
        registry.rules_changed()
        yield
    registry.rules_changed()


def _without_parents(plan: Plan, model: type) -> Plan:
    return replace(plan, own=tuple(rule for rule in plan.own if rule.model is model))


def _without_children(plan: Plan, model: type) -> Plan:
    return replace(plan, inherited=())


@contextmanager
def _told_of_relations(**known: Any) -> Iterator[None]:
    """Have the database say something else of each table."""
    ask = relations._relation

    def answer(*about: Any) -> Any:
        return replace(ask(*about), **known)

    with mock.patch.object(relations, "_relation", answer):
        yield


def _look_like(self: Any, function: Any) -> None:
    self.uncached = getattr(function, "uncached", function)


def _spell(value: Any) -> str:
    return str(value)


#: Found by programs on usual models.
USUAL: Final[dict[str, Sabotage]] = {
    "no watcher": _unwatched,
    "saves that tell nothing": lambda: mock.patch.object(saves, "collect"),
    "writes that find no row": lambda: mock.patch.object(
        statements, "_found_no_row", return_value=True
    ),
}

#: Found by programs on unusual ones; on PostgreSQL, if that is in the name.
UNUSUAL: Final[dict[str, Sabotage]] = {
    "parents that do not go with a child": lambda: planning(_without_parents),
    "children that do not go with a parent": lambda: planning(_without_children),
    "views that are taken for tables": lambda: _told_of_relations(instead=""),
    "columns that compare as Django says": lambda: _told_of_relations(columns=None),
    "partitions that stand alone, PostgreSQL": lambda: _told_of_relations(relatives=frozenset()),
    "writes that are not noted beforehand": lambda: mock.patch.object(Begun, "note"),
    "arguments by their text": lambda: mock.patch.object(arguments, "spell", _spell),
    "attributes that are taken over": lambda: mock.patch.object(
        cached_calls.Cached, "_look_like", _look_like
    ),
    "code that stands for the rows it knows": lambda: mock.patch.object(FromCode, "_stand_for"),
    "blocks that never commit by themselves": lambda: mock.patch.object(
        boundaries, "is_commit", return_value=False
    ),
}

#: Those that are found at once.
QUICK: Final = (
    "views that are taken for tables",
    "arguments by their text",
    "attributes that are taken over",
)

#: Those with which some functions cannot even be declared.
REFUSED: Final = frozenset({"attributes that are taken over"})
