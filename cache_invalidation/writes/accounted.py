"""Statements that need not be looked at, because whoever sends them tells what they do."""

from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.observing.rows_written import names_row
from cache_invalidation.rules.declarations import Change
from cache_invalidation.sql import Kind, Write
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.writes import boundaries
from cache_invalidation.writes.begun import Begun
from cache_invalidation.writes.collect import add

ANY: Final = object()


@dataclass(frozen=True, slots=True)
class Account:
    """Writes of `kinds` to `models`: to the row `pk`, or to any.

    `begun` keeps the notes of them until it is told what they did; None if they do nothing.
    """

    using: str
    models: frozenset[type[Model]]
    kinds: frozenset[Kind]
    begun: Begun | None
    pk: Any = ANY

    def covers(self, model: type[Model], write: Write, params: Any) -> bool:
        return (
            model in self.models
            and write.kind in self.kinds
            and (self.pk is ANY or names_row(model, write, params, self.pk))
        )


_accounts: ContextVar[tuple[Account, ...]] = ContextVar("cache_invalidation_accounts", default=())


class accounting:  # noqa: N801 - used as a block; every save passes here, and a generator is slow
    """Leave to the caller what `account` covers until the block ends."""

    __slots__ = ("_account", "_token")

    def __init__(self, account: Account) -> None:
        self._account = account

    def __enter__(self) -> None:
        self._token = _accounts.set((*_accounts.get(), self._account))

    def __exit__(self, *error: object) -> None:
        _accounts.reset(self._token)


def is_accounted_for(
    connection: BaseDatabaseWrapper, model: type[Model], write: Write, params: Any
) -> bool:
    """Whether somebody tells by other means what `write`, about to be executed, does to `model`."""
    if boundaries.is_cut_off(connection):
        return False  # It would be told too late.
    for account in _accounts.get():
        if account.using == connection.alias and account.covers(model, write, params):
            if account.begun is not None:
                account.begun.note(connection, model, partial(_add_any_row, model))
            return True
    return False


def _add_any_row(model: type[Model], batch: Batch) -> None:
    add(batch, Change(model=model, operation="update", using=batch.alias))
