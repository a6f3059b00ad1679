"""Statements that need not be looked at, because whoever sends them tells what they do."""

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


class accounting:  # noqa: N801 - used as a block; every save passes here, and a generator is slow
    """Leave to the caller what `account` covers until the block ends."""

    __slots__ = ("_account", "_token")

    def __init__(self, account: Account) -> None:
        self._account = account

    def __enter__(self) -> None:
        self._token = _accounts.set((*_accounts.get(), self._account))

    def __exit__(self, *error: object) -> None:
        _accounts.reset(self._token)


def is_accounted_for(using: str, model: type[Model], write: Write, params: Any) -> bool:
    """Whether somebody tells by other means what `write` does to `model`."""
    for account in _accounts.get():
        if account.using == using and account.covers(model, write, params):
            return True
    return False
