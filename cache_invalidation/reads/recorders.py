"""Recorders of what a cached function reads: to depend on it, or to compare it with its tags."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from threading import get_ident
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.connections import is_snapshot
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.observing.joined import Joined, joined_by_key
from cache_invalidation.observing.relations import AS_DECLARED, Relation, kept_relation
from cache_invalidation.observing.rows_written import models_written
from cache_invalidation.observing.tags_read import tags_read
from cache_invalidation.observing.watcher import unrecorded
from cache_invalidation.reads.dependencies import Dependencies
from cache_invalidation.reads.results import Rows, result_of
from cache_invalidation.rules.catalog import is_excluded, models_by_table
from cache_invalidation.rules.registry import registry
from cache_invalidation.rules.rule import Rule
from cache_invalidation.sql import Read, Statement
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Version, Versions, is_fence
from cache_invalidation.tags import ROOT, expand, family, model_tag
from cache_invalidation.transactions.open_batches import written_by_this_thread


class Sampled(Dependencies):
    """Those of a function that declares none: what it reads, with the versions before each query.

    `known` are versions that were sampled before the computation began. Those of other tags are
    asked for one query at a time, and minted for an entry that is stored for `lifetime` seconds.
    """

    finds_out = True

    def __init__(
        self, versions: Versions, storable: bool, known: Versions, lifetime: float | None
    ) -> None:
        super().__init__(versions, storable)
        self.recorder = self
        self.known = known
        self.lifetime = lifetime
        self.root = versions.get(ROOT) if storable else None
        self.tags: set[str] = set()
        self.unwatched: dict[str, None] = {}
        self.unknown: dict[str, None] = {}
        self.written: dict[str, None] = {}
        # Those that have asked for versions, or read something.
        self.threads = {get_ident()}

    def reads(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        try:
            found = self.found(statement, params, many, connection)
            if statement.returns_rows and (written := models_written(statement)):
                self.storable = False
                self.written.update(dict.fromkeys(model._meta.label for model in written))
            joined = self._joined(statement, found, connection)
            # Of these, for now, the row of which it is not known which it is.
            now = found | {each.model: each.row_unknown_tags for each in joined}
            tags = expand(tag for tags in now.values() for tag in tags)
            conditions = frozenset[str]().union(*(each.conditions for each in joined))
            self._depend_on(tags, connection, conditions)
            for model in filter(is_excluded, found):
                self.unwatched[model._meta.label] = None
        except Exception:
            self.storable = False  # It was not recorded.
            raise

    def _joined(
        self,
        statement: Statement,
        found: Mapping[type[Model], Collection[str]],
        connection: BaseDatabaseWrapper,
    ) -> list[Joined]:
        """Return the tables whose rows are asked for by key, and have `show` told which these are.

        They are known when the query is done, and their versions sampled then. If the version of
        the table is still the same when the value is stored, nobody has written any of them since
        before the query.
        """
        result = result_of(statement)
        if result is None or not (self.storable and get_store().takes_conditions):
            return []
        tables = joined_by_key(statement, connection, partial(self._relation, connection))
        joined = [each for each in tables if found.get(each.model) == each.table_tags]
        if joined:
            result.waiting.append(partial(self._show, joined, connection))
        return joined

    def _show(
        self, joined: Sequence[Joined], connection: BaseDatabaseWrapper, rows: Rows | None
    ) -> None:
        """Depend on the `rows` of tables that are `joined`; on the table where none are told."""
        try:
            found: set[str] = set()
            for each in joined:
                tags = None if rows is None else each.tags(rows, connection)
                if tags is None:
                    table = each.table_tags
                    self.tags.update(table)
                    if not self._agree({tag: self.conditions.get(tag) for tag in table}):
                        self.storable = False
                else:
                    found |= tags
            self._depend_on(expand(found), connection)
        except Exception:
            self.storable = False  # It was not recorded.
            raise

    def found(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> dict[type[Model], frozenset[str]]:
        """Return, by model, the tags that stand for what `statement` reads, or has written."""
        relation_of = partial(self._relation, connection)
        found = tags_read(statement, params, many, connection, relation_of)
        # It may return what it has written.
        written = models_written(statement)
        return found | {model: frozenset({model_tag(model)}) for model in written}

    def _relation(self, connection: BaseDatabaseWrapper, read: Read) -> Relation:
        if all(map(is_excluded, models_by_table()[read.table])):
            return AS_DECLARED
        relation = kept_relation(connection, read, self.root)
        if relation.instead:
            self.reads_unknown(f"the {relation.instead} {read.table}")
        return relation

    def _depend_on(
        self,
        tags: Collection[str],
        connection: BaseDatabaseWrapper,
        conditions: Collection[str] = (),
    ) -> None:
        self.tags.update(tags)
        self.takes_part(connection)
        if written_by_this_thread({*tags, *conditions}):
            self.storable = False  # It may be rolled back before anybody stores what came of it.
        needed = set(tags) - self.versions.keys()
        asked = set(conditions) - self.conditions.keys()
        if (needed or asked) and self.storable and not self._sample(needed, asked, connection):
            self.storable = False  # For good, whatever other threads of this computation find.

    def takes_part(self, connection: BaseDatabaseWrapper) -> None:
        """Take note that this thread reads by `connection`, which may be in a snapshot.

        That may be older than the versions that another thread was told, of which nobody asks anew.
        """
        self.threads.add(get_ident())
        if len(self.threads) > 1 and is_snapshot(connection):
            self.storable = False

    def reads_unknown(self, text: str) -> None:
        self.storable = False  # Nobody would tell when it changes.
        self.unknown[text[:200]] = None

    def known_of(self, tags: Collection[str]) -> dict[str, Version]:
        """Return the versions of those of `tags` that need not be asked for."""
        return {tag: self.known[tag] for tag in tags if tag in self.known}

    def _sample(
        self, tags: set[str], conditions: set[str], connection: BaseDatabaseWrapper
    ) -> bool:
        """Sample the versions of both; tell whether anything may be stored under them."""
        versions = self.known_of({*tags, *conditions})
        missing = sorted((tags | conditions) - versions.keys())
        if missing:
            if is_snapshot(connection):
                return False  # The rows may be older than the versions are now.
            try:
                with unrecorded():  # The store may be a database.
                    versions.update(get_store().mint(missing, self.lifetime))
            except CacheInvalidationError:
                return False
        sampled = [{tag: versions[tag] for tag in of} for of in (tags, conditions)]
        return self._agree(*sampled) and not any(
            v is None or is_fence(v) for v in versions.values()
        )


class Audited(Dependencies):
    """Those that a function declares, compared with what it reads."""

    def __init__(self, versions: Versions, storable: bool, declared: Collection[str]) -> None:
        super().__init__(versions, storable)
        self.recorder = self
        self.root = versions.get(ROOT) if storable else None
        self.declared = {tag for tag in declared if tag != ROOT and not tag.endswith(":*")}
        self.families = {family(tag) or tag for tag in self.declared}
        self.undeclared: dict[str, None] = {}
        self.unwatched: dict[str, None] = {}
        # Rules with code that may name one of the tags, and does not say so.
        self.silent: dict[str, None] = {}

    def reads(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        relation_of = partial(kept_relation, connection, root=self.root)
        for model, tags in tags_read(statement, params, many, connection, relation_of).items():
            if is_excluded(model):
                self.unwatched[model._meta.label] = None
            elif not self._covers(model, tags):
                self.undeclared[model._meta.label] = None
                plan = registry.plan(model)
                for rule in plan.own + plan.inherited:
                    if "get_tags" in rule.code and rule.families is None:
                        self.silent[type(rule.declaration).__qualname__] = None

    def reads_unknown(self, text: str) -> None:
        """The project has said on what its function depends."""

    def _covers(self, model: type[Model], tags: Iterable[str]) -> bool:
        plan = registry.plan(model)
        if any(self._is_told_by(rule, model, tags) for rule in plan.own + plan.inherited):
            return True
        # What changes a relation without a model of its own is told by the rows at both sides. What
        # goes along with the row at one of them is told by that one alone.
        through = model._meta.auto_created
        return bool(through) and all(
            not self.families.isdisjoint({model_tag(side), f"{model_tag(side)}:*"})
            for side in _sides(model)
        )

    def _is_told_by(self, rule: Rule, model: type[Model], tags: Iterable[str]) -> bool:
        """Whether a write to what is read drops one of the declared tags by this rule."""
        prefix = model_tag(model)
        if rule.model_tag in self.declared:
            return True
        if not self.families.isdisjoint(rule.families or ()):
            return True
        if self.declared.issuperset(rule.model_tag + tag.removeprefix(prefix) for tag in tags):
            return True
        return any(
            template.kind == "tag" and template.collapsed() in self.families
            for template in rule.templates
        )


def _sides(through: type[Model]) -> list[type[Model]]:
    fields = through._meta.fields
    return [side for field in fields if isinstance(side := field.related_model, type)]
