"""Conditions on rows, and values to give them, for a model that is made up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db.models import F, Max, Model, OuterRef, Q, QuerySet, Subquery

from tests.fuzz.schemas import UNREAD, Table


class Chosen(Subquery):
    """A subquery that is not executed by being shown."""

    text = ""

    def __repr__(self) -> str:
        return f"Subquery({self.text})"


@dataclass(frozen=True)
class Rows:
    """Rows of a table: a queryset that is made anew for each use."""

    table: Table
    lookups: dict[str, Any] = field(default_factory=dict)
    exclude: bool = False
    # Of another table, or the same, whose primary keys `lookups` are about.
    chosen_by: "tuple[str, Rows] | None" = None
    order: tuple[str, ...] = ()
    limit: int | None = None
    either: tuple[Q, ...] = ()

    def __repr__(self) -> str:
        said = [f"{name}={value!r}" for name, value in self.lookups.items()]
        said += [f"{self.chosen_by[0]}={self.chosen_by[1]!r}"] if self.chosen_by else []
        said += map(repr, self.either)
        text = f"{self.table!r}.{'exclude' if self.exclude else 'filter'}({', '.join(said)})"
        text += f".order_by{self.order!r}" if self.order else ""
        return text + (f"[:{self.limit}]" if self.limit is not None else "")

    def on(self, alias: str) -> QuerySet[Model]:
        """Return the rows on the database `alias`."""
        lookups = dict(self.lookups)
        if self.chosen_by is not None:
            name, rows = self.chosen_by
            lookups[name] = rows.on(alias).values("pk" if name == "pk__in" else rows.target(self))
        found: Any = self.table.model._base_manager.using(alias)
        found = (found.exclude if self.exclude else found.filter)(*self.either, **lookups)
        if self.order:
            found = found.order_by(*self.order)
        return found if self.limit is None else found[: self.limit]  # type: ignore[no-any-return]

    def target(self, user: "Rows") -> str:
        """Return the column that the foreign key of `user` refers to."""
        name = user.chosen_by[0].removesuffix("__in") if user.chosen_by else ""
        return str(user.table.column(name).target_field.name)


def kinds_of_rows(table: Table) -> list[list[Rows]]:
    """Return conditions on the rows of `table`, those that have something in common together."""
    plain = list(_plain(table))
    one = [rows for rows in plain if "pk" in rows.lookups and not rows.exclude]
    return [kind for kind in (plain, one, list(_related(table)), list(_chosen(table))) if kind]


def rows_of(table: Table) -> list[Rows]:
    """Return all kinds of conditions on the rows of `table`, those by which one reads or writes."""
    return [*_plain(table), *_related(table), *_chosen(table)]


def _plain(table: Table) -> Iterator[Rows]:
    first, second, *_ = table.keys
    for key in table.keys:
        yield Rows(table, {"pk": key})
    yield Rows(table)
    yield Rows(table, {"pk__in": [first, second]})
    yield Rows(table, {"pk__in": []})
    yield Rows(table, {"pk": first, table.number: 1})
    yield Rows(table, {"pk": first}, exclude=True)
    yield Rows(table, {"pk__gt": first})
    yield from _by_values(table) if "n" in table.pools else _by_number(table)


def _by_number(table: Table) -> Iterator[Rows]:
    for value in (0, 1):
        yield Rows(table, {table.number: value})
    yield Rows(table, {f"{table.number}__gte": 1})


def _by_values(table: Table) -> Iterator[Rows]:
    first = table.keys[0]
    for value in (0, 1):
        yield Rows(table, {"n": value})
    yield Rows(table, {"n__in": [1, 2]})
    yield Rows(table, {"n__gte": 1})
    yield Rows(table, {"n__range": (1, 5)})
    yield Rows(table, {"n__lt": 1})
    if "day" in table.pools:
        yield from _by_days(table)
    if "m" in table.pools:
        yield from _by_nullable(table)
    yield Rows(table, {"s": "a"})
    yield Rows(table, {"s__startswith": "*"})
    yield Rows(table, {"s__in": ["b", "*"], "n": 1})
    yield Rows(table, either=(Q(n=1) | Q(pk=first),))
    yield Rows(table, either=(Q(pk=first) & ~Q(s="a"),))
    yield Rows(table, either=(Q(pk=first) ^ Q(n=1),))
    if "u" in table.pools:
        yield Rows(table, {"u": 1})
        yield Rows(table, {"u__in": [1, 2]})
    if table.number != "n":
        yield Rows(table, {table.number: 1})
        yield Rows(table, {table.number: 0, "n": 1})
    if table.is_loose:
        yield Rows(table, {"s": "A"})
        yield Rows(table, {"s__in": ["a ", "B"]})


def _by_nullable(table: Table) -> Iterator[Rows]:
    for value in (0, 1):
        yield Rows(table, {"m": value})
    yield Rows(table, {"n": F("m")})
    yield Rows(table, {"n__lt": F("m") + 1})
    yield Rows(table, {"m": 1}, exclude=True)
    yield Rows(table, {"m__isnull": True})


def _by_days(table: Table) -> Iterator[Rows]:
    yield Rows(table, {"day__lt": date(2025, 1, 1)})
    yield Rows(table, {"day__gte": date(2025, 1, 1)})
    yield Rows(table, {"day__range": (date(2024, 12, 31), date(2025, 1, 31))})
    yield Rows(table, {"day__year": 2025})
    yield Rows(table, {"day": date(2025, 1, 1)})


def _related(table: Table) -> Iterator[Rows]:
    for name in table.relations:
        for key in [key for key in table.pool(f"{name}_id") if key is not None][:2]:
            yield Rows(table, {f"{name}_id": key})
        yield Rows(table, {f"{name}__n": 1})
        yield Rows(table, {f"{name}__n__gte": 1, "n": 1})
        yield Rows(table, {f"{name}__isnull": True})
        yield Rows(table, {f"{name}__s": "a"}, exclude=True)
    for name, target in table.many.items():
        yield Rows(table, {name: target.keys[0]})
        yield Rows(table, {f"{name}__n": 1})
        yield Rows(table, {f"{name}__isnull": True})


def _chosen(table: Table) -> Iterator[Rows]:
    number = "n" if "n" in table.pools else table.number
    some = Rows(table, order=(f"-{number}", "pk"), limit=1)
    at_most, at_least = {f"{number}__lte": 1}, {f"{number}__gte": 1}
    yield Rows(table, chosen_by=("pk__in", some))
    yield Rows(table, chosen_by=("pk__in", Rows(table, at_most, order=("?",), limit=1)))
    yield Rows(table, chosen_by=("pk__in", Rows(table, at_least)))
    for name, target in table.relations.items():
        yield Rows(table, chosen_by=(f"{name}__in", Rows(target, {"n": 1})))


def is_steady(rows: Rows) -> bool:
    """Whether these are the same rows each time they are asked for."""
    return rows.chosen_by is None or "?" not in rows.chosen_by[1].order


def values_of(table: Table) -> list[dict[str, Any]]:
    """Return what an update may assign."""
    found: list[dict[str, Any]] = [{name: v} for name, pool in table.pools.items() for v in pool]
    if "n" not in table.pools:
        return [*found, {table.number: F(table.number) + 1}]
    found += [{"n": F("n") + 1}, {"n": 1, "s": "*"}, {"n": 2, UNREAD: 1}]
    if "m" not in table.pools:
        return found
    found += [
        {"m": F("n")},
        {"m": F("m") - 1, "s": "b"},
        {"n": F("m") * F("n")},
    ]
    if table.number != "n":
        found += [{table.number: 1, "n": 2}, {table.number: F(table.number) + 1}]
    for name, target in table.relations.items():
        key = table.column(name).target_field.name
        related = target.model._base_manager.filter(**{key: OuterRef(f"{name}_id")})
        found.append({"m": _chosen_by(related.values("n"), f"the n of {name}")})
        most = target.model._base_manager.order_by("s").values("s").annotate(most=Max("n"))
        found.append({"m": _chosen_by(most.values("most"), f"the highest n of {target!r}")})
    return found


def _chosen_by(found: QuerySet[Any, Any], text: str) -> Chosen:
    chosen = Chosen(found[:1])
    chosen.text = text
    return chosen
