"""How a SELECT joins the tables of which it shows rows, from its tokens.

Only for one that shows what it finds, row by row: nothing is grouped, counted or made distinct.
"""

from collections.abc import Iterator
from itertools import pairwise, starmap
from typing import Final

from cache_invalidation.sql.conditions import closing, find, split
from cache_invalidation.sql.lexer import is_name, words
from cache_invalidation.sql.names import Names
from cache_invalidation.sql.statement import Join, Joins

_FROM: Final = frozenset({"FROM"})
_MORE: Final = words(
    "DISTINCT GROUP HAVING WINDOW OVER UNION INTERSECT EXCEPT FOR FETCH INTO WITH LATERAL VALUES"
)
_AFTER_FROM: Final = words("WHERE ORDER LIMIT OFFSET")
_AFTER_WHERE: Final = words("ORDER LIMIT OFFSET")
_LIMITS: Final = words("LIMIT OFFSET")
# Words that stand for no column, in conditions and orders: alone, before another, after another.
_SYNTAX: Final = words(
    "WHERE ORDER BY AND OR NOT IN IS NULL TRUE FALSE LIKE ILIKE GLOB REGEXP SIMILAR TO ESCAPE"
    " BETWEEN CASE WHEN THEN ELSE END ASC DESC AS FROM"
)
_PHRASES: Final = frozenset(
    {("AT", "TIME"), ("TIME", "ZONE"), ("NULLS", "FIRST"), ("NULLS", "LAST")}
)
_JOINING: Final = words("ON INNER LEFT JOIN")
_KINDS: Final = (("INNER", "JOIN"), ("JOIN",), ("LEFT", "OUTER", "JOIN"), ("LEFT", "JOIN"))


class _UnclearError(Exception):
    """It is not told what belongs to which table."""


def joins_in(tokens: list[str], names: Names) -> Joins | None:
    """Return how the tables are joined; None if that is not told, or there is but one."""
    if tokens[0] != "SELECT" or tokens.count("SELECT") != 1 or not _MORE.isdisjoint(tokens):
        return None
    start = find(tokens, _FROM)
    end = find(tokens, _AFTER_FROM, start)
    try:
        tables, joins, used = _tables(tokens[start + 1 : end], names)
        if not joins:
            return None
        used |= _used_after(tokens[end:], tables)
        return Joins(
            tables=tuple(tables.values()),
            joins=tuple(joins),
            free=frozenset(range(len(tables))) - used,
            shown=tuple(_shown(tokens[1:start], tables)),
        )
    except (_UnclearError, IndexError):
        return None


def _tables(tokens: list[str], names: Names) -> tuple[dict[str, str], list[Join], set[int]]:
    """Return the tables by what stands for them, the joins, and which tables conditions are on."""
    found: dict[str, str] = {}
    joins: list[Join] = []
    used: set[int] = set()
    tokens = _add_table(tokens, names, found)
    while tokens:
        kind = next((k for k in _KINDS if tuple(tokens[: len(k)]) == k), None)
        if kind is None:
            raise _UnclearError
        tokens = _add_table(tokens[len(kind) :], names, found)
        if tokens[:2] != ["ON", "("]:
            raise _UnclearError
        end = 1 + closing(tokens[1:])
        condition, tokens = tokens[2:end], tokens[end + 1 :]
        join = _join(condition, list(found), is_outer=kind[0] == "LEFT")
        if join is None:
            used |= {len(found) - 1, *_tables_in(condition, list(found))}
        else:
            joins.append(join)
    for place, table in enumerate(found.values()):
        if not table or list(found.values()).count(table) > 1:
            used.add(place)
    return found, joins, used


def _add_table(tokens: list[str], names: Names, found: dict[str, str]) -> list[str]:
    """Add the table with which `tokens` begin, by its alias; return what comes after it."""
    if not is_name(tokens[0]):
        raise _UnclearError
    name, tokens = tokens[0], tokens[1:]
    while tokens[:1] == ["."]:
        name, tokens = tokens[1], tokens[2:]
    alias = name
    if tokens[:1] == ["AS"]:
        raise _UnclearError
    if tokens and tokens[0] not in _JOINING and (is_name(tokens[0]) or tokens[0].isidentifier()):
        alias, tokens = tokens[0], tokens[1:]
    if _folded(alias) in found:
        raise _UnclearError
    known = names.tables(name[1:])
    found[_folded(alias)] = known[0] if len(known) == 1 else ""
    return tokens


def _join(condition: list[str], aliases: list[str], *, is_outer: bool) -> Join | None:
    """Return what ``a.x = b.y`` joins, the table that is joined last; None for other conditions."""
    match condition:
        case [left, ".", left_column, "=", right, ".", right_column]:
            pass
        case _:
            return None
    sides = {_folded(left): _column(left_column), _folded(right): _column(right_column)}
    new = aliases[-1]
    if len(sides) != 2 or new not in sides or not set(aliases).issuperset(sides):
        return None
    (old,) = sides.keys() - {new}
    return Join(
        table=len(aliases) - 1,
        column=sides[new],
        other=aliases.index(old),
        other_column=sides[old],
        is_outer=is_outer,
    )


def _used_after(tokens: list[str], tables: dict[str, str]) -> set[int]:
    """Return the tables on which depends which rows there are."""
    aliases = list(tables)
    end = find(tokens, _AFTER_WHERE, 1) if tokens[:1] == ["WHERE"] else 0
    used = _tables_in(tokens[:end], aliases)
    order = tokens[end:]
    if not _LIMITS.isdisjoint(order) and order[:1] == ["ORDER"]:
        order = order[: find(order, _LIMITS)]
        if any(token.isdigit() for token in order):
            raise _UnclearError
        used |= _tables_in(order, aliases)
    return used


def _tables_in(tokens: list[str], aliases: list[str]) -> set[int]:
    """Return the tables of which columns are named; each has to say of which it is."""
    if any(starmap(_is_bare, zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False))):
        raise _UnclearError
    return set(_qualifiers(tokens, aliases))


def _is_bare(before: str, token: str, after: str) -> bool:
    """Whether `token` may be a column, or another name, that does not say of what it is."""
    if "." in (before, after):
        return False
    if not token.isidentifier():
        return is_name(token)
    is_type_or_call = before in ("::", "AS") or after == "("
    is_syntax = token in _SYNTAX or not _PHRASES.isdisjoint([(before, token), (token, after)])
    return not (is_type_or_call or is_syntax)


def _qualifiers(tokens: list[str], aliases: list[str]) -> Iterator[int]:
    for before, after in pairwise(tokens):
        if after == "." and (name := _folded(before)) in aliases:
            yield aliases.index(name)


def _shown(tokens: list[str], tables: dict[str, str]) -> Iterator[tuple[int, str, int]]:
    """Yield the columns that are shown as they are: the table, the column, and where in a row."""
    if "*" in tokens or any(starmap(_is_call, pairwise(tokens))):
        raise _UnclearError  # It may count rows.
    aliases = list(tables)
    for place, item in enumerate(split(tokens, ",")):
        match item:
            case (
                [alias, ".", column]
                | [alias, ".", column, "AS", _]
                | ["(", alias, ".", column, ")", "AS", _]
            ) if _folded(alias) in aliases:
                yield aliases.index(_folded(alias)), _column(column), place


def _is_call(token: str, following: str) -> bool:
    return following == "(" and (is_name(token) or token.isidentifier())


def _column(token: str) -> str:
    """Return a column as `Condition` spells it: there can be another that differs in case alone."""
    return token[1:] if is_name(token) else token.lower()


def _folded(token: str) -> str:
    return (token[1:] if is_name(token) else token).lower()
