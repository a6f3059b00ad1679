"""For how long the rows of a query are wanted to be kept, and why they are not kept if so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation import sql
from cache_invalidation.conf import Settings, configured
from cache_invalidation.connections import answers_from_snapshot
from cache_invalidation.observing.rows_written import dialect_of
from cache_invalidation.querying import wish_now
from cache_invalidation.reads.consistency import recomputing
from cache_invalidation.reads.dependencies import is_declared
from cache_invalidation.reads.read import Default
from cache_invalidation.rules import catalog
from cache_invalidation.sql.steady import is_steady, names_moment
from cache_invalidation.tags import table_of

Lifetime = float | Default | None
Declared = Mapping[str, float | Literal[False] | None]

#: Why rows that were asked for are not kept; the other reasons are those of `unstorable`.
REASONS: Final[Mapping[str, str]] = {
    "changing": "it asks for the time, for random rows, or by a function that is not known",
    "unknown": "it reads what no model stands for",
    "unwatched": "it reads what nobody watches: see EXCLUDE",
    "parameter": "one of its parameters has no spelling that is the same in every process",
    "size": "there are too many rows, or they are too long",
}

TEXTS: Final = 2_048  # of SQL, of which it is remembered what they are


@dataclass(frozen=True, slots=True)
class Wanted:
    """That the rows of a query are to be kept: because it says so itself, or by QUERIES."""

    timeout: Lifetime
    by_setting: bool = False
    near: bool = False


def wanted(compiler: Any) -> Wanted | None:
    """Return whether the rows of a query are wanted, as far as that is known without its SQL."""
    query = compiler.query
    wish = wish_now(query)
    if wish is not None:
        is_cached = wish.is_cached and query.model is not None
        found = Wanted(wish.timeout, near=wish.near) if is_cached else None
    elif (declared := _declared()) and query.model is not None:
        found = _by_setting(query.model, declared)
    else:
        return None
    if found is None or query.select_for_update or query.explain_info:
        return None
    return found if _may_answer(found, query.model, compiler.connection) else None


def _may_answer(found: Wanted, model: type[Model], connection: BaseDatabaseWrapper) -> bool:
    table = table_of(model)
    if table not in catalog.models_by_table().get(table._meta.db_table, ()):
        return False  # A model of the past, in a migration.
    if recomputing.get() is not None or (found.by_setting and is_declared()):
        return False
    return not (connection.needs_rollback or answers_from_snapshot(connection))


def refused(
    found: Wanted, connection: BaseDatabaseWrapper, text: str, params: Any
) -> tuple[Wanted | None, str | None]:
    """Return what is wanted now that it is known what is read; or None, and why if that counts."""
    about = _about(text, connection.vendor, catalog.tables())
    if about.reason is None and names_moment(params):
        return None, "changing"
    models = [model for table in about.tables for model in catalog.models_by_table()[table]]
    if about.reason or not models:
        return None, about.reason
    if any(map(catalog.is_excluded, models)):
        return None, "unwatched"
    if not found.by_setting:
        return found, None
    lifetimes = [_lifetime(model, _declared()) for model in models]
    if False in lifetimes:
        return None, None
    finite = [seconds for seconds in lifetimes if seconds is not None]
    return Wanted(min(finite, default=None), by_setting=True), None


@dataclass(frozen=True, slots=True)
class _About:
    tables: tuple[str, ...]
    reason: str | None


@lru_cache(maxsize=TEXTS)
def _about(text: str, vendor: str, tables: frozenset[str]) -> _About:
    dialect = dialect_of(vendor)
    statement = sql.analyze(text, dialect, tables)
    read = tuple(sorted(statement.tables_read))
    if statement.reads_others or statement.is_guess:
        return _About(read, "unknown")
    if statement.may_write or statement.writes or not is_steady(text, dialect):
        return _About(read, "changing")
    return _About(read, None)


def lifetime_by_setting(model: type[Model]) -> float | Literal[False] | None:
    """Return for how many seconds QUERIES has queries of `model` kept; False if it does not."""
    return _lifetime(model, _declared())


def _by_setting(model: type[Model], declared: Declared) -> Wanted | None:
    lifetime = _lifetime(model, declared)
    return None if lifetime is False else Wanted(lifetime, by_setting=True)


_last: tuple[Any, Declared, dict[type[Model], float | Literal[False] | None]] = None, {}, {}


def _declared() -> Declared:
    """Return QUERIES; it is looked at once for each dict that a project puts there."""
    global _last
    values = configured()
    found = values.get("QUERIES") if isinstance(values, dict) else None
    if not found:
        return {}
    if found is not _last[0]:
        _last = found, Settings.QUERIES.usable(), {}
    return _last[1]


def _lifetime(model: type[Model], declared: Declared) -> float | Literal[False] | None:
    _, usable, found = _last  # At once: another thread may be about to look at other settings.
    known = found if usable is declared else {}
    if model not in known:
        known[model] = _looked_up(model, declared)
    return known[model]


def _looked_up(model: type[Model], declared: Declared) -> float | Literal[False] | None:
    options = table_of(model)._meta
    # What is excluded is read in every request, as sessions are: no need to say why it is not kept.
    everything = () if catalog.is_excluded(model) else ("*",)
    named = (options.label_lower, f"{options.app_label.lower()}.*", *everything)
    own = next((declared[name] for name in named if name in declared), False)
    source = options.auto_created
    if own is False and options.label_lower not in declared and isinstance(source, type):
        return _lifetime(source, declared)  # Of a many-to-many field, that of the model it is in.
    return own


def matched(pattern: str, models: Iterable[type[Model]]) -> bool:
    """Whether a key of QUERIES, in lower case, names any of the models."""
    labels = (model._meta for model in models)
    return any(
        pattern in (options.label_lower, f"{options.app_label.lower()}.*", "*")
        for options in labels
    )
