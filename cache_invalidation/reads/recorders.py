"""Recorders of what a cached function reads: to depend on it, or to compare it with its tags."""

import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
from threading import get_ident
from typing import Any, Final

from django.conf import settings as django_settings
from django.core import mail
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.conf import settings
from cache_invalidation.connections import is_snapshot
from cache_invalidation.exceptions import (
    CacheDependencyWarning,
    CacheInvalidationError,
    InvalidSetting,
    UndeclaredRead,
)
from cache_invalidation.observing.relations import AS_DECLARED, Relation, kept_relation
from cache_invalidation.observing.rows_written import models_written
from cache_invalidation.observing.tags_read import tags_read
from cache_invalidation.observing.watcher import unrecorded
from cache_invalidation.reads.callers import warn
from cache_invalidation.reads.dependencies import Dependencies
from cache_invalidation.rules.catalog import is_excluded, models_by_table
from cache_invalidation.rules.declarations import Rule
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Read, Statement
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Version, Versions, is_fence
from cache_invalidation.tags import ROOT, expand, family, model_tag
from cache_invalidation.transactions.open_batches import written_by_this_thread

logger = logging.getLogger("cache_invalidation")

SAID: Final = 1000  # messages that are remembered, so as not to repeat them


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
            self._depend_on(expand(tag for tags in found.values() for tag in tags), connection)
            for model in filter(is_excluded, found):
                self.unwatched[model._meta.label] = None
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

    def _depend_on(self, tags: Collection[str], connection: BaseDatabaseWrapper) -> None:
        self.tags.update(tags)
        self.takes_part(connection)
        if written_by_this_thread(tags):
            self.storable = False  # It may be rolled back before anybody stores what came of it.
        needed = set(tags) - self.versions.keys()
        if needed and self.storable and not self._sample(needed, connection):
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

    def _sample(self, tags: set[str], connection: BaseDatabaseWrapper) -> bool:
        """Sample the versions of `tags`; tell whether anything may be stored under them."""
        versions = self.known_of(tags)
        missing = sorted(tags - versions.keys())
        if missing:
            if is_snapshot(connection):
                return False  # The rows may be older than the versions are now.
            try:
                with unrecorded():  # The store may be a database.
                    versions.update(get_store().mint(missing, self.lifetime))
            except CacheInvalidationError:
                return False
        # Another thread may have sampled them meanwhile, and read what is older than this.
        agreed = [self.versions.setdefault(tag, v) == v for tag, v in versions.items()]
        return all(agreed) and not any(v is None or is_fence(v) for v in versions.values())


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


def report(
    name: str, dependencies: Dependencies, function: Callable[..., Any], unsaid: Collection[str]
) -> None:
    """Say what the function `name` reads whose changes do not reach it, as the project wants it.

    `unsaid` are names of what it should vary on. Raises `UndeclaredRead` if that is to be an error.
    """
    messages = []
    if isinstance(dependencies, Audited) and dependencies.undeclared:
        silent = ", ".join(dependencies.silent)
        messages.append(
            f"{name}() reads {', '.join(dependencies.undeclared)}, and writes there drop none of "
            "its tags. Name the model in its tags, or leave the tags out to have them found."
            + (f" If get_tags() of {silent} names one, say so in `families`." if silent else "")
        )
    if isinstance(dependencies, Sampled | Audited) and dependencies.unwatched:
        messages.append(
            f"{name}() reads {', '.join(dependencies.unwatched)}, and nobody watches writes there. "
            "Leave it out, or see EXCLUDE in CACHE_INVALIDATION."
        )
    if isinstance(dependencies, Sampled) and dependencies.unknown:
        messages.append(
            f"{name}() is not stored: no model stands for what it reads with "
            f"{'; '.join(dependencies.unknown)}. Say in its tags on what it depends."
        )
    if isinstance(dependencies, Sampled) and dependencies.written:
        messages.append(
            f"{name}() is not stored: it has written to {', '.join(dependencies.written)}, and a "
            "hit would not. Write outside of it: a cached function only reads."
        )
    if unsaid:
        messages.append(
            f"{name}() is not stored: what it calls varies on {', '.join(unsaid)}, and it does "
            "not. Say so in its vary_on, too."
        )
    for message in messages:
        _say(message, function)


_said: set[str] = set()


def _say(message: str, function: Callable[..., Any]) -> None:
    wanted = _wanted()
    if wanted == "error":
        raise UndeclaredRead(message)
    if wanted == "warn":
        warn(message, CacheDependencyWarning, function)
    elif message not in _said and len(_said) < SAID:
        _said.add(message)
        logger.warning(message)


def wants_warnings() -> bool:
    """Whether the project is told by warnings of what its code does that cannot be cached."""
    return _wanted() in ("warn", "error")


def audits() -> bool:
    """Whether the tags that are declared are to be compared with what is read."""
    return _wanted() != "ignore"


def _wanted() -> str:
    try:
        wanted = settings.UNDECLARED_READS
    except InvalidSetting:
        return "ignore"  # A system check says so, and no page must fail of it.
    # Django's test runner, and whoever does the same, provides an outbox.
    is_watched = django_settings.DEBUG or hasattr(mail, "outbox")
    return wanted or ("warn" if is_watched else "ignore")
