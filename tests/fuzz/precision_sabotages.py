"""What is done to the core where it drops less than everything, to see that the fuzz finds it.

See `sabotages`. Programs on models that are related find these; on PostgreSQL, if that is in the
name: SQLite vouches for no foreign key, so that inner joins depend on tables there.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final
from unittest import mock

from django.db.models import Model

from cache_invalidation.observing import many_to_many, tags_read
from cache_invalidation.observing.joined import Joined
from cache_invalidation.observing.relations.relation import Reference, Relation
from cache_invalidation.rules import consequences
from cache_invalidation.rules import rule as rule_module
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.differences import may_have_changed
from cache_invalidation.rules.plans import NOTHING, Plan
from cache_invalidation.rules.registry import Registry
from cache_invalidation.rules.templates import parse
from cache_invalidation.sql import analysis, joins
from tests.fuzz import related_reads
from tests.fuzz.programs import Aim
from tests.fuzz.sabotages import Sabotage, planning


@contextmanager
def _reading_sql(**patched: Any) -> Iterator[None]:
    """Have statements understood in another way; those that were read before are read again."""
    analysis._cache.clear()
    with mock.patch.multiple(joins, **patched):
        yield
    analysis._cache.clear()


def _refer(self: Relation, column: str, table: str, target: str) -> Reference:
    return Reference(column, table, target, is_nullable=False)


def _without_second_rules(plan: Plan, model: type[Model]) -> Plan:
    first = {rule.model: rule for rule in reversed(plan.own)}
    return replace(plan, own=tuple(first.values()))


def _without_tables_between(plan: Plan, model: type[Model]) -> Plan:
    return NOTHING if model._meta.auto_created else plan


def _nothing_unknown(values: Any) -> Any:
    return {link: held or () for link, held in values.items()}


def _parse_one_field(source: str, kind: Any = "tag", fields: Iterable[str] | None = None) -> Any:
    return parse(source, kind, None if fields is None else frozenset(sorted(fields)[:1]))


def _certainly_changed(change: Change, fields: Any) -> bool:
    is_known = change.old is not None and change.new is not None
    return may_have_changed(change, fields) and (is_known or fields is None)


def _may_change(rule: Any, change: Change, fields: Any) -> bool:
    return change.operation == "update" and not (change.fields or fields).isdisjoint(fields)


_in_joins: Callable[..., Any] = partial(mock.patch.object, Joined)
_in_consequences: Callable[..., Any] = partial(mock.patch.object, consequences)
_in_rules: Callable[..., Any] = partial(mock.patch.object, rule_module)

PRECISE: Final[dict[str, Sabotage]] = {
    "joined rows that nothing depends on, PostgreSQL": lambda: _in_joins(
        "tags", return_value=frozenset()
    ),
    "orders that do not decide what is shown, PostgreSQL": lambda: _reading_sql(
        _LIMITS=frozenset()
    ),
    "conditions that do not decide what is shown, PostgreSQL": lambda: _reading_sql(
        _tables_in=lambda tokens, aliases: set()
    ),
    "values that are stored whatever is written meanwhile, PostgreSQL": lambda: _in_joins(
        "conditions", frozenset()
    ),
    "keys that point nowhere and are believed, PostgreSQL": lambda: mock.patch.object(
        Relation, "reference", _refer
    ),
    "rules that do not come first": lambda: planning(_without_second_rules),
    "tables between two models that nobody watches": lambda: planning(_without_tables_between),
    "relations that are unknown and taken for none": lambda: mock.patch.object(
        many_to_many, "_known", _nothing_unknown
    ),
    "volatile fields that nobody reads": lambda: mock.patch.object(
        tags_read, "reads_volatile", return_value=False
    ),
    "volatile fields of which no tag is told": lambda: mock.patch.object(
        Registry, "with_parts", lambda self, tags: {*tags}
    ),
    "tags that look at one of their fields": lambda: _in_rules("parse", _parse_one_field),
    "fields that stay where the rows are not known": lambda: _in_consequences(
        "may_have_changed", _certainly_changed
    ),
    "updates that change what is ignored and more": lambda: _in_consequences(
        "changes_only", _may_change
    ),
    "families that stand for nothing": lambda: _in_rules("family_tags", frozenset),
}

_BETWEEN: Final = Aim(shapes=("many", "prefetched", "related count"), between=True)

#: What programs are narrowed to for those that are found too seldom otherwise.
AIMS: Final[dict[str, Aim]] = {
    "orders that do not decide what is shown, PostgreSQL": Aim(
        shapes=("joined slice", "first values")
    ),
    "values that are stored whatever is written meanwhile, PostgreSQL": Aim(
        shapes=related_reads.BY_KEY, races=True
    ),
    "keys that point nowhere and are believed, PostgreSQL": Aim(
        shapes=("joined", "joined only", "values beside keys"), loose=True
    ),
    "tables between two models that nobody watches": _BETWEEN,
    "relations that are unknown and taken for none": _BETWEEN,
    "volatile fields of which no tag is told": Aim(tagged=True),
    "tags that look at one of their fields": Aim(shapes=("numbers",), tagged=True),
    "families that stand for nothing": Aim(tagged=True),
}

#: Those that are found at once.
QUICKLY_PRECISE: Final = ("updates that change what is ignored and more",)
