"""What is neither a query nor a change of rows: told by its first words."""

from typing import Final

from cache_invalidation.sql.conditions import closing, find
from cache_invalidation.sql.lexer import all_words, name_of, words
from cache_invalidation.sql.names import Names
from cache_invalidation.sql.scan import DEFINING, does_anything, reads_of, writes_to
from cache_invalidation.sql.statement import Statement

TABULAR: Final = words("SELECT INSERT UPDATE DELETE MERGE WITH VALUES TABLE (")

# What can be made, altered or dropped, and no row of another table changes.
_APART = words("INDEX SEQUENCE TEMPORARY SESSION")
# What is new of these may be taken for what was there.
_OVERLOADED = words("FUNCTION AGGREGATE OPERATOR CAST")
# What is in them can change without being named.
_CONTAINERS = frozenset({"SCHEMA", "DATABASE"})
# After these, a new table names what it has no part in.
_MODELS = frozenset({"LIKE", "REFERENCES"})
_SILENT = words(
    "BEGIN START COMMIT END ABORT ROLLBACK SAVEPOINT RELEASE SET RESET SHOW USE PRAGMA LOCK UNLOCK"
    " ANALYZE ANALYSE VACUUM OPTIMIZE REINDEX CLUSTER CHECK CHECKPOINT CLOSE FETCH MOVE"
    " LISTEN UNLISTEN NOTIFY DISCARD DEALLOCATE GRANT REVOKE COMMENT ATTACH DETACH FLUSH KILL"
    " DESCRIBE DESC"
)
_EXPLAINING = frozenset({"EXPLAIN", "ANALYZE", "DESCRIBE", "DESC"})
_EXPLAIN_OPTIONS = words(
    "ANALYZE ANALYSE VERBOSE QUERY PLAN EXTENDED PARTITIONS FORMAT = TREE JSON TRADITIONAL"
)
_CHANGING = words("INSERT UPDATE DELETE REPLACE MERGE TRUNCATE CALL EXECUTE")
_ROWS = words("SELECT INSERT UPDATE DELETE REPLACE WITH")
_ANALYZE = frozenset({"ANALYZE", "ANALYSE"})
_MODIFIERS = words("LOW_PRIORITY HIGH_PRIORITY DELAYED QUICK IGNORE")
_CONFLICTS = words("ABORT FAIL IGNORE REPLACE ROLLBACK")
_TABLE_ENDS = frozenset({"AS", "SELECT", "WITH"})


def executed(tokens: list[str]) -> list[str] | None:
    """Return the statement within an EXPLAIN or a COPY of a query; None where there is none.

    It is empty where it is only planned, and not executed.
    """
    first, rest = tokens[0], tokens[1:]
    if first == "COPY" and rest[:1] == ["("]:
        return rest[1 : closing(rest)]
    if first not in _EXPLAINING:
        return None
    options = [first]
    if rest[:1] == ["("] and rest[1:2] and rest[1] not in TABULAR:
        end = closing(rest) + 1
        options, rest = rest[:end], rest[end:]
    while rest and rest[0] in _EXPLAIN_OPTIONS:
        options, rest = [*options, rest[0]], rest[1:]
    # Without EXPLAIN, only MariaDB's ANALYZE takes a statement; elsewhere it takes a table.
    if first == "ANALYZE" and rest[:1] and rest[0] not in _ROWS:
        return []
    return [] if _ANALYZE.isdisjoint(options) else rest


def simplified(tokens: list[str]) -> tuple[list[str], str]:
    """Return the statement without modifiers, and the word for what it does about conflicts.

    That is "REPLACE" or "IGNORE", or another one, or none.
    """
    first, rest = tokens[0], tokens[1:]
    if first not in ("INSERT", "UPDATE", "DELETE", "REPLACE"):
        return tokens, ""
    on_conflict = first if first == "REPLACE" else ""
    while rest and rest[0] in _MODIFIERS:
        if rest[0] == "IGNORE":
            on_conflict = "IGNORE"
        rest = rest[1:]
    if len(rest) > 1 and rest[0] == "OR" and rest[1] in _CONFLICTS:
        on_conflict, rest = rest[1], rest[2:]
    return ["INSERT" if first == "REPLACE" else first, *rest], on_conflict


def analyze_command(tokens: list[str], names: Names) -> Statement:
    """Return what a statement does that is none of the `TABULAR` ones."""
    first = tokens[0]
    # MariaDB has `SET STATEMENT … FOR UPDATE …` and `BEGIN NOT ATOMIC UPDATE …`.
    if first in _SILENT and _CHANGING.isdisjoint(tokens):
        return Statement()
    if first in DEFINING:
        return _definition(tokens, names)
    if first == "REFRESH":  # It fills a materialized view, which a model may stand for.
        return writes_to(names.among(tokens), "refresh")
    if first == "TRUNCATE":
        return _truncate(tokens, names)
    if first == "COPY":
        return _copy(tokens, names)
    if first == "DECLARE" and "CURSOR" in tokens:
        return Statement(reads=reads_of(names.among(tokens)))
    # CALL, DO, PREPARE, LOAD and the like may do anything, and may be told what in a literal.
    literals = [token[1:] for token in tokens if token[0] == "'"]
    named = {word for literal in literals for word in all_words(literal)}
    # What is put together there, or spelled with escapes, may be any text.
    is_unclear = "execute" in named or "IMMEDIATE" in tokens
    is_unclear = is_unclear or any(literal[0] in "eEuU" for literal in literals)
    return does_anything([*tokens, *named], names, to_any_table=is_unclear)


def _definition(tokens: list[str], names: Names) -> Statement:
    """What a new table is made from is read; everything else that is named may change.

    What is not named may change with something else: the labels of an enumeration, what a function
    returns, the rows of a partition or of a table that refers to one that is dropped.
    """
    first, what = tokens[0], [*tokens[1:3], ""]
    if what[0] == "INDEX" or what[:2] == ["UNIQUE", "INDEX"]:
        return Statement(may_write=True)  # It changes how rows are found, and none of them.
    if what[0] in _CONTAINERS and first != "CREATE":
        return writes_to(names.known, "ddl")
    if first == "CREATE" and "TABLE" in tokens and what[0] != "OR":
        end = find(tokens, _TABLE_ENDS)
        new = names.among(_without_models(tokens[:end]))
        return writes_to(new, "ddl", reads_of(names.among(tokens[end:])))
    is_new = first == "CREATE" and what[0] != "OR" and what[0] not in _OVERLOADED
    named = names.among(tokens)
    if named or is_new or what[0] in _APART:
        return writes_to(named, "ddl")
    return writes_to(names.known, "ddl")


def _without_models(tokens: list[str]) -> list[str]:
    """Return the tokens without the tables that a new one is modelled after, or refers to."""
    kept, skips = [], False
    for each in tokens:
        # The name may have several parts.
        skips = each in _MODELS or (skips and (each == "." or name_of(each) is not None))
        if not skips:
            kept.append(each)
    return kept


def _truncate(tokens: list[str], names: Names) -> Statement:
    # Whatever refers to one of them is emptied too, and so is what refers to that.
    emptied = names.known if "CASCADE" in tokens else names.among(tokens)
    return writes_to(emptied, "truncate")


def _copy(tokens: list[str], names: Names) -> Statement:
    end = find(tokens, frozenset({"FROM", "TO"}))
    table = tokens[1:end]
    if "(" in table:
        table = table[: table.index("(")]
    if tokens[end : end + 1] == ["TO"]:
        return Statement(reads=reads_of(names.among(table)))
    return writes_to(names.among(table), "copy")
