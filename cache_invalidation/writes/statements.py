"""Statements that write, as the SQL watcher sees them: what no signal and no `save` tells.

    in a transaction: execute -> collect                       COMMIT does the rest
    in autocommit:    raise the fence -> execute -> deliver

Where a rule looks at values, and the statement says which rows it writes, these are read before and
after it, in one transaction with it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_invalidation.connections import in_transaction, is_open_for_driver, shielded
from cache_invalidation.delivery.fencing import deliver, end_failed, raise_fence, withdraw
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observing import cascades, relations
from cache_invalidation.observing.many_to_many import all_written, links_inserted
from cache_invalidation.observing.rows_written import ANYTHING, ORDINARY, Written
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Statement
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import batches, current_batch
from cache_invalidation.writes import boundaries, rows
from cache_invalidation.writes.accounted import Account, begin, is_accounted_for, taken
from cache_invalidation.writes.begun import Begun
from cache_invalidation.writes.collect import add, add_everything, is_suspended
from cache_invalidation.writes.commit import commit_by
from cache_invalidation.writes.writing import writing

logger = logging.getLogger("cache_invalidation")

Execute = Callable[[], Any]


@dataclass(slots=True)
class Effects:
    """What a statement changes: `changes`, and those of `rows`, whose values a rule looks at."""

    changes: list[Change] = field(default_factory=list)
    rows: list[Written] = field(default_factory=list)
    # Why it may be anything; nothing, if it is told what it is.
    everything: Literal["unknown", "migrate", ""] = ""

    def __bool__(self) -> bool:
        return bool(self.changes or self.rows or self.everything)

    def of_any_rows(self, using: str) -> "Effects":
        """Return the same where nobody reads the values: any rows stand for `rows`."""
        unknown = [written.of_any_row(using) for written in self.rows]
        return Effects(self.changes + unknown, everything=self.everything)


def write(
    execute: Execute, statement: Statement, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute a statement, and invalidate what it makes stale."""
    connection: BaseDatabaseWrapper = context["connection"]
    account = taken(params)
    begin(connection, account)
    commits = boundaries.is_commit(statement, connection)
    several = statement.is_script
    if context.get("is_script"):
        # What is open is committed first, and then each of its statements.
        commits, several = in_transaction(connection), True
    try:
        effects = _effects(statement, params, many, connection, account)
    except Exception:
        logger.exception("A write could not be looked at; invalidating everything.")
        counters.update({"failed": 1})
        effects = Effects(everything="unknown")
    if not effects or is_suspended(connection.alias):
        return commit_by(execute, connection, many=several) if commits else execute()
    if effects.rows and not commits and _can_be_read_around(statement, connection):
        with writing(connection):
            return _execute_collecting(execute, effects, statement, context)
    effects = effects.of_any_rows(connection.alias)
    if commits:
        _collect(effects, connection)
        return commit_by(execute, connection, many=several)
    if in_transaction(connection) and not boundaries.is_commit_of_its_own(statement, connection):
        return _execute_collecting(execute, effects, statement, context)
    return _execute_fenced(execute, effects, statement, many or several, context)


def _can_be_read_around(statement: Statement, connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction may be put around the statement, and rows be read in it."""
    if statement.boundaries:
        return False  # It might end that transaction.
    if not statement.kinds <= ORDINARY or connections[connection.alias] is not connection:
        return False
    return in_transaction(connection) or not _commits_later(statement, connection)


def _commits_later(statement: Statement, connection: BaseDatabaseWrapper) -> bool:
    """Whether a statement in autocommit is committed at some time after it was executed.

    SQLite does so when the rows that it returns have been fetched, and nobody tells when.
    """
    if is_open_for_driver(connection):
        return True
    return connection.vendor == "sqlite" and statement.returns_rows


def _effects(
    statement: Statement,
    params: Any,
    many: bool,
    connection: BaseDatabaseWrapper,
    account: Account | None,
) -> Effects:
    if statement is ANYTHING:
        return Effects(everything="unknown")
    using = connection.alias
    accounted = partial(is_accounted_for, connection, account)
    if account is not None and account.begun is not None:
        account.begun.inserts(links_inserted(statement, params, many, connection))
    found = Effects()
    if any(write.kind == "ddl" for write in statement.writes):
        # All processes keep what the tables are, and ask again under another version of the root.
        found.everything = "migrate"
        relations.forget(connection)
    for each in all_written(statement, params, many, connection, accounted):
        news = _without_reported(each, connection)
        plan = registry.plan(news.model)
        if news.keys and plan.needs_state and not plan.is_told_by(news.fields):
            found.rows.append(news)
        else:
            found.changes.extend(news.changes(using))
    found.changes.extend(cascades.changes(statement, using))
    return found


def _without_reported(written: Written, connection: BaseDatabaseWrapper) -> Written:
    """Return `written` without the rows whose deletion a signal has told."""
    if written.operation != "delete" or not written.keys or boundaries.is_cut_off(connection):
        return written
    keys = set(written.keys)
    for batch in batches(connection):
        told = {key for key in keys if (written.model, key) in batch.reported}
        batch.reported -= {(written.model, key) for key in told}
        keys -= told
    return replace(written, keys=tuple(key for key in written.keys if key in keys))


def _collect(effects: Effects, connection: BaseDatabaseWrapper) -> None:
    # Not by its alias: a project may have opened a second connection to the same database.
    _add(current_batch(connection, deliver), effects)


def _add(batch: Batch, effects: Effects) -> None:
    for change in effects.changes:
        add(batch, change)
    if effects.everything:
        add_everything(batch, effects.everything)


def _execute_collecting(
    execute: Execute, effects: Effects, statement: Statement, context: dict[str, Any]
) -> Any:
    """Execute a statement in the open transaction, whose COMMIT delivers what it did.

    The rows that a rule looks at are read before and after it.
    """
    connection = context["connection"]
    using = connection.alias
    before = [_states(written, using) for written in effects.rows]
    with Begun() as begun:
        begun.note(connection, None, partial(_add, effects=effects.of_any_rows(using)))
        result = execute()
        if not _found_no_row(statement, context):
            changes = list(effects.changes)
            for written, old in zip(effects.rows, before, strict=True):
                changes += _changes_since(written, old, context)
            _collect(Effects(changes, everything=effects.everything), connection)
    return result


def _execute_fenced(
    execute: Execute, effects: Effects, statement: Statement, many: bool, context: dict[str, Any]
) -> Any:
    """Execute a statement that is committed as soon as it is executed."""
    connection: BaseDatabaseWrapper = context["connection"]
    batch = Batch(connection.alias, deliver)
    _add(batch, effects)
    if not batch and not statement.boundaries:
        return execute()  # It is none that anybody wants to be told of.
    commits_later = _commits_later(statement, connection)
    fence = raise_fence(batch, connection, always=commits_later or bool(statement.boundaries))
    try:
        result = execute()
    except BaseException as error:
        # Without a transaction, what came before the one that failed may be committed.
        end_failed(batch, fence, error, many=many)
        raise
    if _found_no_row(statement, context):
        withdraw(batch, fence)
        return result
    if statement.boundaries:  # It may have begun a transaction.
        commits_later = _commits_later(statement, connection)
    deliver(batch, fence, commits_later=commits_later)
    return result


def _changes_since(
    written: Written, old: Mapping[Any, Model] | None, context: dict[str, Any]
) -> list[Change]:
    """Return what a statement, now executed, has done to rows that were in the states `old`."""
    using = context["connection"].alias
    new = {} if written.operation == "delete" else _states(written, using)
    if old is None or new is None or _found_others(written, old, new, context):
        return [written.of_any_row(using)]
    return [
        replace(change, old=old.get(change.pk), new=new.get(change.pk))
        for change in written.changes(using)
        if change.pk in old or change.pk in new or _may_be_hidden(written)
    ]


def _may_be_hidden(written: Written) -> bool:
    """Whether rows that are not found may have been written all the same.

    Until COMMIT, a database may allow rows whose foreign keys lead to nothing: a child without its
    parents, of which one query reads all, or a relation without the row at one end.
    """
    is_child = written.operation == "create" and bool(written.model._meta.parents)
    return is_child or written.is_end


def _found_others(
    written: Written, old: Mapping[Any, Model], new: Mapping[Any, Model], context: dict[str, Any]
) -> bool:
    """Whether the statement has found other rows as well, which others have just added."""
    if not {*old, *new} <= set(written.keys or ()):
        return True  # Or the database takes other keys for the same.
    if written.operation in ("create", "m2m"):
        return False
    if written.operation == "update" and new.keys() != old.keys():
        return True
    return bool(context["cursor"].rowcount > len(old))


def _found_no_row(statement: Statement, context: dict[str, Any]) -> bool:
    """Whether an UPDATE or a DELETE, now executed, certainly had nothing to do."""
    cursor = context["cursor"]
    return statement.counts_rows and cursor.description is None and cursor.rowcount == 0


def _states(written: Written, using: str) -> Mapping[Any, Model] | None:
    """Return the rows by primary key; None if they cannot be read, whatever the reason."""
    found = all_rows(written.model, using).filter(pk__in=written.keys)
    try:
        with shielded(using):
            return rows.read_all(found, using, deleting=written.operation == "delete")
    except Exception:
        # The tables of a project that is being migrated need not be those of its models.
        logger.warning("Rows of %s could not be read.", written.model._meta.label, exc_info=True)
        return None
