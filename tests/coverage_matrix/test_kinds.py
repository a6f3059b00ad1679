"""Kinds of models that few projects have, each written in all usual ways. See `kinds`."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import redis
from django.db import connections, transaction

from cache_invalidation import ModelInvalidation, cached, no_invalidation, registry
from tests.coverage_matrix.kinds import ALIASES, KINDS, Kind
from tests.coverage_matrix.ways import Database, Goes
from tests.testapp.made import models_forgotten

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    # Some of the reads are reported, and not stored; what counts is that nothing is stale.
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]


class LooksAtValues(ModelInvalidation):
    tags = ["code:{code}"]
    track = ["code"]


@dataclass(frozen=True)
class Read:
    """A function that is cached for one way of writing, and how often it was computed."""

    function: Any
    runs: Counter[str]

    def cached(self) -> tuple[Any, bool]:
        before = self.runs.total()
        return self.function(), self.runs.total() == before


class World:
    """The tables of one kind, in one database."""

    def __init__(self, kind: Kind, alias: str) -> None:
        self.kind, self.alias = kind, alias
        self.models = kind.make()
        self.key, self.other = kind.keys
        self.code, self.asked_code = kind.codes
        self.shown = kind.shown(self.models[-1])
        self.model: Any = (*self.shown, *self.models)[0 if kind.is_shown_written else -1]

    @property
    def rows(self) -> Any:
        return self.model._base_manager.using(self.alias)

    @property
    def table(self) -> str:
        """The table that has the number."""
        return self.quote(self.model._meta.get_field("number").model._meta.db_table)

    @property
    def raw_key(self) -> Any:
        """The key that the row has in that table."""
        return self.key_in("id")

    def key_in(self, name: str) -> Any:
        """Return the key of the row in the table whose key has that name."""
        return self.kind.given(self.key).get(name, self.key)

    def quote(self, name: str) -> str:
        return str(connections[self.alias].ops.quote_name(name))

    def execute(self, sql: str, params: Sequence[Any] | None = None) -> None:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(sql, params)

    def new(self, key: Any, code: str) -> Any:
        made = self.model(pk=key, code=code)
        for name, value in self.kind.given(key).items():
            setattr(made, name, value)
        return made

    @contextmanager
    def made(self) -> Iterator[None]:
        connection: Any = connections[self.alias]
        if connection.vendor == "postgresql":
            self.execute("CREATE SCHEMA IF NOT EXISTS kind_reports")
            self.execute("CREATE EXTENSION IF NOT EXISTS citext")

        def rewrite(execute: Any, sql: Any, *about: Any) -> Any:
            text = str(sql).replace(" varchar_pattern_ops", "")
            if text.startswith("CREATE TABLE"):
                for old, new in self.kind.replaced.items():
                    text = text + new if old == "END" else text.replace(old, new)
            return execute(text, *about)

        with connection.execute_wrapper(rewrite), connection.schema_editor() as editor:
            for model in self.models:
                editor.create_model(model)
        try:
            for sql in self.kind.sql(self.quote(self.models[-1]._meta.db_table)):
                self.execute(sql)
            yield
        finally:
            self._drop(connection)

    def _drop(self, connection: Any) -> None:
        for model in self.shown:
            if connection.vendor == "sqlite":
                self.execute(f"DROP VIEW {self.quote(model._meta.db_table)}")
        with connection.schema_editor() as editor:
            for model in reversed(self.models):
                editor.delete_model(model)

    def fill(self, without: Any) -> None:
        """Put the row and another one into the tables, and nothing else."""
        with no_invalidation(), transaction.atomic(using=self.alias):
            for model in reversed(self.models):
                self.execute(f"DELETE FROM {self.quote(model._meta.db_table)}")
            if without != self.key:
                self.new(self.key, self.code).save(using=self.alias)
            self.new(self.other, "z").save(using=self.alias)
            for model in self.models[:-1]:
                is_apart = not issubclass(self.model, model) and model._meta.parents
                if is_apart and without != self.key:  # The row is one of that model, too.
                    link: Any = next(iter(model._meta.parents.values()))
                    row = model(**{link.attname: self.key})
                    row.save_base(using=self.alias, raw=True)

    def never_stored(self, names: Iterable[str]) -> Iterator[str]:
        """Yield those of the names of reads that are about what nothing is stored of."""
        if self.kind.shown_goes == "never":
            labels = {model.__name__ for model in self.shown}
            if self.kind.is_shown_written:
                labels = {"row", "rows", "tracked", "other"}
            yield from (name for name in names if name.split()[0] in labels)

    def reads(self, name: str) -> tuple[dict[str, Read], dict[str, Read]]:
        """Return what is cached of the row that is written, and of the other one."""
        asked, asked_other = self.kind.asked or self.kind.keys

        def read(shape: str, query: Callable[[], Any], **options: Any) -> Read:
            runs: Counter[str] = Counter()

            def compute() -> Any:
                runs[shape] += 1
                return list(query().order_by("pk").values_list())

            label = f"{name}.{shape}"
            return Read(cached(name=label, **options)(compute), runs)

        own = {
            "row": read("row", lambda: self.rows.filter(pk=asked)),
            "rows": read("rows", lambda: self.rows.all()),
            "tracked": read("tracked", lambda: self.rows.filter(code=self.asked_code)),
            "tagged": read("tagged", lambda: self.rows.all(), tags=[self.model]),
        }
        others = {"row": read("other row", lambda: self.rows.filter(pk=asked_other))}
        beside = [each for each in (*self.models, *self.shown) if each is not self.model]
        for model in beside:
            every, label = model._base_manager.using(self.alias), model.__name__
            one = every.filter(pk=self.key_in(model._meta.pk.attname))
            own[f"{label} row"] = read(f"{label} row", one.all)
            own[f"{label} rows"] = read(f"{label} rows", every.all)
            # Who names tags is not reached by what is written under another name.
            if not (model in self.shown or self.kind.is_shown_written):
                own[f"{label} tagged"] = read(f"{label} tagged", every.all, tags=[model])
        return own, others


def save(world: World) -> None:
    row = world.rows.get(pk=world.key)
    row.number = 2
    row.save()


def create(world: World) -> None:
    world.new(world.key, world.code).save(using=world.alias)


def update(world: World) -> None:
    world.rows.filter(pk=world.key).update(number=2)


def bulk_update(world: World) -> None:
    row = world.rows.get(pk=world.key)
    row.number = 2
    world.rows.bulk_update([row], ["number"])


def delete(world: World) -> None:
    world.rows.get(pk=world.key).delete()


def delete_queryset(world: World) -> None:
    world.rows.filter(pk=world.key).delete()


def raw_update(world: World) -> None:
    world.execute(f"UPDATE {world.table} SET number = 2 WHERE id = %s", [world.raw_key])


def raw_update_by_value(world: World) -> None:
    world.execute(f"UPDATE {world.table} SET number = 2 WHERE code = %s", [world.asked_code])


WAYS: list[Callable[[World], None]] = [
    create,
    save,
    update,
    bulk_update,
    delete,
    delete_queryset,
    raw_update,
    raw_update_by_value,
]


@dataclass(frozen=True)
class Cell:
    kind: Kind
    database: Database
    rule: bool

    def __str__(self) -> str:
        return f"{self.kind.name}, {self.database}, {'rule' if self.rule else 'no rule'}"


CELLS = [
    Cell(kind, database, rule)
    for kind in KINDS
    for database, rule in product(kind.databases, (False, True))
    # What Django makes is the same in both.
    if len(kind.databases) == 1
    or kind.replaced
    or kind.shown_goes == "never"
    or rule is (database == "SQLite")
    or os.environ.get("CELLS") == "all"
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_nothing_is_stale_of_an_unusual_model(cell: Cell, redis_client: redis.Redis) -> None:
    problems: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(models_forgotten())
        world = World(cell.kind, ALIASES[cell.database])
        stack.enter_context(world.made())
        if cell.rule:
            stack.enter_context(registry.override(world.model, LooksAtValues))
        for number, way in enumerate(WAYS):
            if way.__name__ in cell.kind.without:
                continue
            redis_client.flushdb()
            world.fill(without=world.key if way is create else None)
            # One of both modes, and the other one with a rule.
            is_atomic = (number % 2 == 0) is cell.rule
            found = _written(world, way, is_atomic, problems)
            is_by_table = not cell.rule and way.__name__ in cell.kind.by_table
            if found != ("table" if is_by_table or way is raw_update_by_value else cell.kind.goes):
                problems.append(f"{way.__name__}: {found}")
    assert not problems, "\n".join(["", *problems])


def _written(
    world: World, way: Callable[[World], None], is_atomic: bool, problems: list[str]
) -> Goes:
    own, others = world.reads(f"kinds.{world.kind.name}.{way.__name__}")
    stored = {}
    for name, read in (own | {"other": others["row"]}).items():
        read.cached()
        _, stored[name] = read.cached()
    with transaction.atomic(using=world.alias) if is_atomic else nullcontext():
        way(world)
        if is_atomic:
            problems += _stale(own, f"{way.__name__}, in the transaction")
    problems += _stale(own, way.__name__)
    _, is_hit = others["row"].cached()
    never = {name for name, is_stored in stored.items() if not is_stored}
    if never != set(world.never_stored(stored)):
        problems.append(f"{way.__name__}: never stored: {never}")
    return "row" if is_hit else "table"


def _stale(reads: dict[str, Read], when: str) -> Iterator[str]:
    for name, read in reads.items():
        found, _ = read.cached()
        if found != (truth := read.function.uncached()):
            yield f"{when}: {name} is stale: {found!r}, not {truth!r}"
