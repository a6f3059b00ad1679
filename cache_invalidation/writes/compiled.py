"""Which of the statements that Django compiles is the one of a write that accounts for it.

Of an INSERT, the rows tell. An UPDATE is compiled from a queryset, and each query that is derived
from another takes its attributes along: the account is put on the one that the write begins with.

Django documents neither its compilers nor `Model._do_update`. Where others are in their place, a
statement is not accounted for, and looked at like any other: that may drop more, and never less.
"""

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Final

from django.db.models import Model
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLInsertCompiler, SQLUpdateCompiler

from cache_invalidation.wrapping import wrap
from cache_invalidation.writes.accounted import Account, Accounted

# Where on a query its account is.
_ACCOUNT: Final = "_cache_invalidation_account"

# Those of this thread or task, the innermost last, each with the ids of the instances it writes.
_accounts: ContextVar[tuple[tuple[Account, frozenset[int]], ...]] = ContextVar(
    "cache_invalidation_accounts", default=()
)


class accounting:  # noqa: N801 - used as a block; every save passes here, and a generator is slow
    """Have `account` be that of the statements which write `instances`, until the block ends."""

    __slots__ = ("_entry", "_token")

    def __init__(self, account: Account, instances: Iterable[Model]) -> None:
        self._entry = account, frozenset(map(id, instances))

    def __enter__(self) -> None:
        self._token = _accounts.set((*_accounts.get(), self._entry))

    def __exit__(self, *error: object) -> None:
        _accounts.reset(self._token)


def accounted(queryset: Any, account: Account) -> Any:
    """Return a copy of `queryset` whose updates `account` is the one of."""
    copied = queryset.all()
    setattr(copied.query, _ACCOUNT, account)
    return copied


def _account_of(instances: Sequence[Model]) -> Account | None:
    for account, known in reversed(_accounts.get()):
        if known.issuperset(map(id, instances)):
            return account
    return None


def _observed_do_update(
    do_update: Any, instance: Model, /, base_qs: Any, *args: Any, **kwargs: Any
) -> Any:
    account = _account_of([instance])
    rows = base_qs if account is None else accounted(base_qs, account)
    return do_update(instance, rows, *args, **kwargs)


def _observed_insert(as_sql: Any, compiler: Any, /, *args: Any, **kwargs: Any) -> Any:
    statements = as_sql(compiler, *args, **kwargs)
    account = _account_of(compiler.query.objs)
    if account is None:
        return statements
    return [(sql, Accounted.by(account, params)) for sql, params in statements]


def _observed_update(as_sql: Any, compiler: Any, /, *args: Any, **kwargs: Any) -> Any:
    sql, params = as_sql(compiler, *args, **kwargs)
    account = getattr(compiler.query, _ACCOUNT, None)
    return sql, params if account is None else Accounted.by(account, params)


def _observed_related(get_related_updates: Any, query: Any) -> Any:
    related = get_related_updates(query)
    for each in related:  # The tables of parents, which are updated by queries of their own.
        setattr(each, _ACCOUNT, getattr(query, _ACCOUNT, None))
    return related


def install() -> None:
    """Wrap these methods. May be called again."""
    wrap(Model, "_do_update", _observed_do_update)
    wrap(SQLInsertCompiler, "as_sql", _observed_insert)
    wrap(SQLUpdateCompiler, "as_sql", _observed_update)
    wrap(UpdateQuery, "get_related_updates", _observed_related)
