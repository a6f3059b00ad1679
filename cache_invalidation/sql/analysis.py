"""From the text of SQL to what it reads and writes."""

import logging
from dataclasses import replace
from typing import Final

from cache_invalidation.sql.cache import StatementCache
from cache_invalidation.sql.commands import TABULAR, analyze_command, executed, simplified
from cache_invalidation.sql.lexer import UnreadableError, all_words, names_in, tokenize, words
from cache_invalidation.sql.names import Names, names_for
from cache_invalidation.sql.plain import NotPlainError, analyze_plain
from cache_invalidation.sql.scan import does_anything, scan
from cache_invalidation.sql.statement import Dialect, Statement, combine

logger = logging.getLogger(__name__)

# In characters. Longer texts are only scanned, and not kept.
MAX_LENGTH: Final = 65_536
# In tokens. sqlglot needs about 10 µs for each.
MAX_PARSED: Final = 4_000
# In brackets. sqlglot recurses, and takes exponential time for some texts.
MAX_DEPTH: Final = 40

# In tokens. What tells whether a statement ends a transaction.
OPENING: Final = 3

_BOUNDARIES = words("SAVEPOINT RELEASE COMMIT END")
# What follows these in a script may be committed with it, or later.
_BOUNDARIES_IN_SCRIPTS = _BOUNDARIES | words("BEGIN START ROLLBACK ABORT")

_OPENING = frozenset({"(", "[", "CASE"})
_CLOSING = frozenset({")", "]", "END"})

_cache = StatementCache(entries=2_048, size=4_194_304)


def analyze(sql: str, dialect: Dialect, known: frozenset[str]) -> Statement:
    """Return what `sql` does to the tables `known`. Never raises.

    In doubt a statement writes each known table that it names, and each row of it.
    """
    key = (sql, dialect, known)
    statement = _cache.get(key)
    if statement is None:
        statement = _cache.get_older(key)
        if statement is None:
            statement = _analyze(sql, dialect, names_for(known))
            if len(sql) <= MAX_LENGTH:
                _cache.store(key, statement)
    return statement


def _analyze(sql: str, dialect: Dialect, names: Names) -> Statement:
    try:
        if len(sql) > MAX_LENGTH:
            tokens = list(names_in(sql, dialect))
            return _placed(scan(tokens, names), _split_statements(tokens))
        parts = _split_statements(tokenize(sql, dialect))
        return _placed(combine([_analyze_one(part, dialect, names) for part in parts]), parts)
    except UnreadableError:
        pass
    # A statement that nobody foresaw must not break the program that runs it.
    except Exception:
        logger.warning("SQL could not be analysed and counts as a write", exc_info=True)
    said = all_words(sql)  # in no order: any of them may begin a statement
    # With escapes, a name may be spelled in another way than its words are.
    statement = does_anything(said, names, to_any_table="u&" in sql.lower())
    statement = _placed(statement, [[word.upper()] for word in said])
    return replace(statement, first="", is_script=True)


def _placed(statement: Statement, parts: list[list[str]]) -> Statement:
    """Return `statement`, made of `parts`, with its place in a transaction."""
    is_script = len(parts) > 1
    wanted = _BOUNDARIES_IN_SCRIPTS if is_script else _BOUNDARIES
    return replace(
        statement,
        first=parts[0][0] if parts else "",
        is_script=is_script,
        boundaries=tuple(tuple(part[:OPENING]) for part in parts if part[0] in wanted),
    )


def _split_statements(tokens: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for each in tokens:
        if each == ";":
            parts.append([])
        else:
            parts[-1].append(each)
    return [part for part in parts if part]


def _analyze_one(tokens: list[str], dialect: Dialect, names: Names) -> Statement:
    inner = executed(tokens)
    if inner is not None:
        return combine([_analyze_one(inner, dialect, names)] if inner else [])
    tokens, on_conflict = simplified(tokens)
    if tokens[0] not in TABULAR:
        return analyze_command(tokens, names)
    statement = _analyze_tabular(tokens, dialect, names)
    if "RETURNING" in tokens:
        statement = replace(statement, returns_rows=True)
    if on_conflict == "IGNORE" and len(statement.writes) == 1:
        return replace(statement, counts_rows=True)
    if on_conflict != "REPLACE":
        return statement
    # The rows that are in conflict with the new ones go, whichever they are.
    writes = tuple(
        replace(write, kind="replace", conditions=(), rows=write.rows) for write in statement.writes
    )
    return replace(statement, writes=writes)


def _analyze_tabular(tokens: list[str], dialect: Dialect, names: Names) -> Statement:
    try:
        return analyze_plain(tokens, names)
    except NotPlainError:
        pass
    if len(tokens) > MAX_PARSED or _depth(tokens) > MAX_DEPTH:
        return scan(tokens, names)
    # Loading sqlglot takes a moment that most programs never have to spend.
    from cache_invalidation.sql.parsed import analyze_parsed

    # Whatever is wrong with it, whether for sqlglot or for us, the names are still there.
    try:
        return analyze_parsed(tokens, dialect, names)
    except Exception:  # noqa: BLE001
        return scan(tokens, names)


def _depth(tokens: list[str]) -> int:
    deepest = depth = 0
    for token in tokens:
        depth += (token in _OPENING) - (token in _CLOSING)
        deepest = max(deepest, depth)
    return deepest
