"""Statements that need not be looked at, because whoever sends them tells what they do."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model

from cache_invalidation.sql import Kind, Write
from cache_invalidation.statements import names_row

ANY: Final = object()


@dataclass(frozen=True, slots=True)
class Account:
    """Writes of `kinds` to `models`: to the row `pk`, or to any."""

    using: str
    models: frozenset[type[Model]]
    kinds: frozenset[Kind]
    pk: Any = ANY

    def covers(self, model: type[Model], write: Write, params: Any) -> bool:
        return (
            model in self.models
            and write.kind in self.kinds
            and (self.pk is ANY or names_row(model, write, params, self.pk))
        )


_accounts: ContextVar[tuple[Account, ...]] = ContextVar("cache_invalidation_accounts", default=())


@contextmanager
def accounting(account: Account) -> Iterator[None]:
    """Leave to the caller what `account` covers until the block ends."""
    token = _accounts.set((*_accounts.get(), account))
    try:
        yield
    finally:
        _accounts.reset(token)


def is_accounted_for(using: str, model: type[Model], write: Write, params: Any) -> bool:
    """Whether somebody tells by other means what `write` does to `model`."""
    for account in _accounts.get():
        if account.using == using and account.covers(model, write, params):
            return True
    return False
