"""The forms of SQL that Django's ORM generates, recognised from their tokens."""

from collections import Counter
from itertools import pairwise
from sys import intern

from cache_invalidation.sql.conditions import (
    Qualified,
    conditions_in,
    conditions_on,
    find,
    split,
    value_of,
)
from cache_invalidation.sql.joins import joins_in
from cache_invalidation.sql.lexer import folded, is_name, words
from cache_invalidation.sql.names import Names
from cache_invalidation.sql.statement import Condition, Parameter, Read, Statement, Value, Write


class NotPlainError(Exception):
    """The statement is not of a form that is recognised here."""


# What can follow a table with its alias, besides a comma: that would be another table.
_AFTER_TABLE = words(
    "WHERE ON INNER LEFT RIGHT FULL CROSS JOIN GROUP ORDER LIMIT OFFSET HAVING FOR UNION INTERSECT"
    " EXCEPT RETURNING FETCH USING WINDOW ) ; AND OR"
)
_AFTER_CONDITIONS = words(
    "GROUP ORDER LIMIT OFFSET HAVING FOR RETURNING FETCH WINDOW UNION INTERSECT EXCEPT"
)
_AFTER_TABLES = _AFTER_CONDITIONS | {"WHERE"}
_AFTER_ASSIGNMENTS = frozenset({"WHERE", "RETURNING", "FROM", "ORDER", "LIMIT"})
_AFTER_ROWS = frozenset({"ON", "RETURNING", "AS"})
_WHERE = frozenset({"WHERE"})
_COUNT = ["COUNT", "(", "*", ")"]
_OF_THE_DATABASE = frozenset({"xmin", "xmax", "cmin", "cmax", "ctid"})
_NEVER_PLAIN = frozenset({"INTO", "WITH", "LATERAL", "TABLE", "STRAIGHT_JOIN"})


def analyze_plain(tokens: list[str], names: Names) -> Statement:
    """Return what one statement does; raises `NotPlainError` if it has no plain form."""
    try:
        match tokens:
            case ["SELECT", *_] | ["(", "SELECT", *_]:
                return Statement(
                    reads=_reads(tokens, names),
                    reads_others=_reads_others(tokens, names),
                    joins=joins_in(tokens, names),
                    columns=_columns(tokens),
                )
            case ["UPDATE", table, "SET", *rest] if is_name(table):
                return _update(table[1:], rest, names)
            case ["DELETE", "FROM", table, *rest] if is_name(table):
                return _delete(table[1:], rest, names)
            case ["INSERT", "INTO", table, *rest] if is_name(table):
                return _insert(table[1:], rest, names)
    except IndexError:
        pass  # The text ends too early.
    raise NotPlainError


def _reads(tokens: list[str], names: Names) -> tuple[Read, ...]:
    if not _NEVER_PLAIN.isdisjoint(tokens):
        raise NotPlainError
    tables = _tables(tokens)
    found: list[Qualified] = []
    if tokens[0] == "SELECT" and tokens.count("SELECT") == 1:
        start = find(tokens, _WHERE)
        found = conditions_in(tokens[start + 1 : find(tokens, _AFTER_CONDITIONS, start)])
    return tuple(
        dict.fromkeys(
            read
            for alias, named in tables
            for read in names.reads(named, conditions_on(alias, found, alone=len(tables) == 1))
        )
    )


def _columns(tokens: list[str]) -> frozenset[str] | None:
    """Return the names that occur, the columns that are read among them; None for any column.

    A row is read as a whole where a star is, or the name of a table alone: ``SELECT t FROM t``. Of
    tables that are joined by nature, columns are compared that nobody names. What PostgreSQL itself
    keeps of a row is another with each update of it. SQLite takes a text for a name where only a
    name can be: ``t.'name'``.
    """
    counts = sum(tokens[i : i + 4] == _COUNT for i in range(len(tokens)))
    if tokens.count("*") > counts or "NATURAL" in tokens:
        return None
    if any(each == "." and after[0] == "'" for each, after in pairwise(tokens)):
        return None
    alone = Counter(
        folded(token)
        for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False)
        if "." not in (before, after) and _may_name(token)
    )
    tables = _tables(tokens)
    introduced = Counter(
        folded(name)
        for alias, named in tables
        for name in [*named * (len(named) == 1), *alias * (alias != named)]
    )
    rows = {folded(alias[-1]) for alias, _ in tables}
    if any(alone[name] > introduced[name] for name in rows):
        return None
    found = frozenset(intern(folded(token)) for token in filter(_may_name, tokens))
    return found if found.isdisjoint(_OF_THE_DATABASE) else None


def _may_name(token: str) -> bool:
    return is_name(token) or token[0] == "_" or token[0].isalpha()


def _reads_others(tokens: list[str], names: Names) -> bool:
    return any(not names.tables(named[-1]) for _, named in _tables(_without_arguments(tokens)))


def _without_arguments(tokens: list[str]) -> list[str]:
    """Return the tokens without each FROM that belongs to a function: ``EXTRACT(year FROM x)``."""
    kept, calls = [], [False]
    for index, each in enumerate(tokens):
        if each == "(":
            calls.append(tokens[index + 1 : index + 2] not in (["SELECT"], ["("]))
        elif each == ")" and len(calls) > 1:
            calls.pop()
        if each != "FROM" or not calls[-1]:
            kept.append(each)
    return kept


def _tables(tokens: list[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return each table that follows FROM or JOIN: what stands for it, and its name.

    The former is its alias, if it has one.
    """
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for index, each in enumerate(tokens):
        if each not in ("FROM", "JOIN") or tokens[index - 1] == "DISTINCT":
            continue
        if each == "FROM" and _lists_tables(tokens[index + 1 :]):
            raise NotPlainError
        index += 1
        if tokens[index : index + 2] == ["(", "SELECT"]:
            continue
        if not is_name(tokens[index]):
            raise NotPlainError
        named: tuple[str, ...] = (tokens[index][1:],)
        while tokens[index + 1 : index + 2] == ["."] and is_name(tokens[index + 2]):
            index += 2
            named = (*named, tokens[index][1:])
        after = tokens[index + 1] if index + 1 < len(tokens) else ";"
        alias = named
        if after not in _AFTER_TABLE and (is_name(after) or after.isidentifier()):
            alias = (after[1:] if is_name(after) else after.lower(),)
            after = tokens[index + 2] if index + 2 < len(tokens) else ";"
        if after not in _AFTER_TABLE:
            raise NotPlainError
        found.append((alias, named))
    return found


def _lists_tables(tokens: list[str]) -> bool:
    """Whether there is a comma in the clause that goes on with `tokens`."""
    depth = 0
    for each in tokens:
        depth += (each == "(") - (each == ")")
        if depth < 0 or (depth == 0 and each in _AFTER_TABLES):
            return False
        if depth == 0 and each == ",":
            return True
    return False


def _update(table: str, rest: list[str], names: Names) -> Statement:
    end = find(rest, _AFTER_ASSIGNMENTS)
    columns = []
    row: list[Value | None] = []
    for assignment in split(rest[:end], ","):
        if len(assignment) < 3 or not is_name(assignment[0]) or assignment[1] != "=":
            raise NotPlainError
        columns.append(assignment[0][1:])
        row.append(value_of(assignment[2]) if len(assignment) == 3 else None)
    conditions = _where(table, rest[end:])
    return Statement(
        writes=tuple(
            Write(
                table=known,
                kind="update",
                conditions=conditions,
                columns=tuple(columns),
                rows=(tuple(row),),
            )
            for known in names.tables(table)
        ),
        reads=_reads(rest, names),
        may_write=True,
        reads_others=_reads_others(rest, names),
        counts_rows=True,
    )


def _delete(table: str, rest: list[str], names: Names) -> Statement:
    conditions = _where(table, rest)
    return Statement(
        writes=tuple(
            Write(table=known, kind="delete", conditions=conditions)
            for known in names.tables(table)
        ),
        reads=_reads(rest, names) if rest else (),
        may_write=True,
        reads_others=_reads_others(rest, names),
        counts_rows=True,
    )


def _where(table: str, rest: list[str]) -> tuple[Condition, ...]:
    """Return the conditions on the written table, where nothing is joined to it."""
    if not rest or rest[0] == "RETURNING":
        return ()
    if rest[0] != "WHERE":
        raise NotPlainError
    found = conditions_in(rest[1 : find(rest, _AFTER_CONDITIONS)])
    return conditions_on((table,), found, alone=True)


def _insert(table: str, rest: list[str], names: Names) -> Statement:
    columns: tuple[str, ...] = ()
    if rest[0] == "(":
        close = rest.index(")")
        listed = split(rest[1:close], ",")
        if not all(len(item) == 1 and is_name(item[0]) for item in listed):
            raise NotPlainError
        columns = tuple(item[0][1:] for item in listed)
        rest = rest[close + 1 :]
    end = find(rest, _AFTER_ROWS)
    match rest[:end]:
        case ["VALUES", *values]:
            rows = _rows(values)
        case ["DEFAULT", "VALUES"]:
            rows = ((),)
        case ["SELECT", "*", "FROM", "UNNEST", "(", *arrays, ")"]:
            rows = (tuple(_array(item) for item in split(arrays, ",")),)
        case _:
            raise NotPlainError
    if columns and any(len(row) != len(columns) for row in rows):
        raise NotPlainError
    kinds = [
        Write(table=known, kind="insert", columns=columns, rows=rows)
        for known in names.tables(table)
    ]
    return Statement(
        writes=tuple(kinds + _conflicts(table, rest[end:], names)),
        reads=_reads(rest[end:], names) if end < len(rest) else (),
        may_write=True,
        reads_others=_reads_others(rest[end:], names),
        counts_rows=_does_nothing(rest[end:]),
    )


def _rows(tokens: list[str]) -> tuple[tuple[Value | None, ...], ...]:
    rows = []
    for row in split(tokens, ","):
        if row[0] != "(" or row[-1] != ")":
            raise NotPlainError
        items = split(row[1:-1], ",")
        if "SELECT" in row or any(not item for item in items):
            raise NotPlainError
        rows.append(tuple(value_of(item[0]) if len(item) == 1 else None for item in items))
    return tuple(rows)


def _array(tokens: list[str]) -> Value | None:
    match tokens:
        case ["(", placeholder, ")", "::", *_]:
            value = value_of(placeholder)
            return Parameter(value.key, is_array=True) if isinstance(value, Parameter) else None
    raise NotPlainError


def _conflicts(table: str, rest: list[str], names: Names) -> list[Write]:
    """Return the writes to rows that were there before: any row may be the one in conflict."""
    if not rest or rest[0] == "RETURNING":
        return []
    if _does_nothing(rest):
        return []
    if "UPDATE" not in rest:
        raise NotPlainError
    return [Write(table=known, kind="update") for known in names.tables(table)]


def _does_nothing(rest: list[str]) -> bool:
    """Whether a row in conflict with another one is left out."""
    return "DO" in rest and rest[rest.index("DO") + 1] == "NOTHING"
