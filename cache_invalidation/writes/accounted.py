"""Statements that need not be looked at, because whoever has them sent tells what they do.

While Django prepares such a statement, it runs code of the project: the `pre_save` of a field, an
`upload_to`, whatever turns a value into a parameter. That code may write to the same table, in the
same words. So what is accounted for is not a kind of statement but one single statement, and it is
the parameters of that one which carry the account to the watcher.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.rules.declarations import Change
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.writes import boundaries
from cache_invalidation.writes.begun import Begun
from cache_invalidation.writes.collect import add
from cache_invalidation.writes.writing import writing


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody tells what is done to rows of `models`.

    `begun` keeps the notes of it until then; None if nothing is done. `block` is where a write that
    has no transaction gets one, as late as that can be; None if it has been seen to.
    """

    using: str
    models: frozenset[type[Model]]
    begun: Begun | None
    block: ExitStack | None = None


class Accounted(tuple[Any, ...]):
    """The parameters of a statement, with the `account` of whoever tells what it does."""

    account: Account

    @classmethod
    def by(cls, account: Account, params: Iterable[Any] = ()) -> Self:
        accounted = cls(params)
        accounted.account = account
        return accounted

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, in a log of queries for instance, is of the parameters only.
        return tuple, (tuple(self),)


def taken(params: Any) -> Account | None:
    """Return the account of a statement that is about to be executed, if there is one.

    Once only: whoever has seen the parameters may send them again, which is another statement.
    """
    return vars(params).pop("account", None) if isinstance(params, Accounted) else None


def begin(connection: BaseDatabaseWrapper, account: Account | None) -> None:
    """Begin the transaction that a write has been waiting for with its first statement."""
    if account is None or account.block is None or account.using != connection.alias:
        return
    account.block.enter_context(writing(connection))


def is_accounted_for(
    connection: BaseDatabaseWrapper, account: Account | None, model: type[Model]
) -> bool:
    """Whether somebody tells what a statement, about to be executed, does to `model`."""
    if account is None or boundaries.is_cut_off(connection):
        return False  # Or it would be told too late.
    if account.using != connection.alias or model not in account.models:
        return False
    if account.begun is not None:
        account.begun.note(connection, model, partial(_add_any_row, model))
    return True


def _add_any_row(model: type[Model], batch: Batch) -> None:
    add(batch, Change(model=model, operation="update", using=batch.alias))
