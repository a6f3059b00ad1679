"""The equality and IN conditions of a WHERE clause, from its tokens."""

from cache_invalidation.sql.lexer import UNKNOWN, is_name, is_placeholder, name_of
from cache_invalidation.sql.statement import Condition, Parameter, Value

# In front of a column stands the name of its table, part by part; nothing, if it is left out.
Qualified = tuple[tuple[str, ...], Condition]

# The AND of a BETWEEN is not a conjunction. To MySQL, `||` and XOR are alternatives too.
_UNCLEAR = ("XOR", "||", "BETWEEN")


def value_of(token: str) -> Value | None:
    """Return the value that a single token stands for, or None if only the database knows it."""
    if is_placeholder(token) and token != UNKNOWN:
        return Parameter(token[2:] if token[1] == ":" else int(token[1:]))
    return int(token) if token.isascii() and token.isdigit() else None


def split(tokens: list[str], separator: str) -> list[list[str]]:
    """Split at each `separator` that stands outside of brackets and CASE expressions."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        if token in ("(", "[", "CASE"):
            depth += 1
        elif token in (")", "]", "END"):
            depth -= 1
        if depth == 0 and token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def find(tokens: list[str], words: frozenset[str], start: int = 0) -> int:
    """Return the index of the first of `words` outside of brackets, or the length of `tokens`."""
    depth = 0
    for index in range(start, len(tokens)):
        each = tokens[index]
        if each == "(":
            depth += 1
        elif each == ")":
            depth -= 1
        elif depth == 0 and each in words:
            return index
    return len(tokens)


def conditions_in(tokens: list[str]) -> list[Qualified]:
    """Return the conditions that hold for every row for which the expression is true."""
    while len(tokens) > 1 and tokens[0] == "(" and closing(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    if any(word in tokens and len(split(tokens, word)) > 1 for word in _UNCLEAR):
        return []
    if "OR" in tokens and len(parts := split(tokens, "OR")) > 1:
        return _conditions_in_all([conditions_in(part) for part in parts])
    if "AND" in tokens and len(parts := split(tokens, "AND")) > 1:
        return [condition for part in parts for condition in conditions_in(part)]
    if tokens[:1] == ["("]:
        return _conditions_on_row(tokens)
    condition = _condition(tokens)
    return [] if condition is None else [condition]


def _conditions_in_all(alternatives: list[list[Qualified]]) -> list[Qualified]:
    """Return those on columns that all `alternatives` are about, with the values of all."""
    found = []
    for qualifier, condition in alternatives[0]:
        column, values = (qualifier, condition.column), list(condition.values)
        for others in alternatives[1:]:
            named = next((c for q, c in others if (q, c.column) == column), None)
            if named is None:
                break
            values += named.values
        else:
            united = Condition(column=condition.column, values=tuple(dict.fromkeys(values)))
            found.append((qualifier, united))
    return found


def _conditions_on_row(tokens: list[str]) -> list[Qualified]:
    """Return the conditions in ``(a, b) = (1, 2)`` and ``(a, b) IN ((1, 2))``, one for a column."""
    end = closing(tokens)
    match tokens[end + 1 :]:
        case ["=", "(", *values, ")"] | ["IN", "(", "(", *values, ")", ")"]:
            pass
        case _:
            return []
    columns, bound = split(tokens[1:end], ","), split(values, ",")
    if len(columns) != len(bound) or not all(len(value) == 1 for value in bound):
        return []
    found = [_condition([*c, "=", *v]) for c, v in zip(columns, bound, strict=True)]
    return [condition for condition in found if condition is not None]


def _condition(tokens: list[str]) -> Qualified | None:
    qualifier: tuple[str, ...] = ()
    while len(tokens) > 2 and tokens[1] == "." and (name := name_of(tokens[0])) is not None:
        qualifier, tokens = (*qualifier, name), tokens[2:]
    match tokens:
        case [column, "=", value]:
            values = [value_of(value)]
        case [column, "IN", "(", *items, ")"]:
            values = [value_of(item[0]) if len(item) == 1 else None for item in split(items, ",")]
        case _:
            return None
    known = tuple(value for value in values if value is not None)
    if len(known) != len(values):
        return None
    if is_name(column):
        return qualifier, Condition(column=column[1:], values=known)
    # What is no column, such as CURRENT_DATE, is that of no table either.
    is_word = column.isidentifier()
    return (qualifier, Condition(column=column.lower(), values=known)) if is_word else None


def _refers_to(qualifier: tuple[str, ...], table: tuple[str, ...]) -> bool:
    """Whether what stands in front of a column is that table, whose schema may be left out."""
    return _folded(qualifier) == _folded(table[-len(qualifier) :])


def conditions_on(
    table: tuple[str, ...], found: list[Qualified], *, alone: bool
) -> tuple[Condition, ...]:
    """Return the conditions on `table`; if it stands `alone`, those too that name no table."""
    return tuple(
        condition
        for qualifier, condition in found
        if (_refers_to(qualifier, table) if qualifier else alone)
    )


def _folded(name: tuple[str, ...]) -> list[str]:
    return [part.lower() for part in name]


def closing(tokens: list[str]) -> int:
    """Return the index of the bracket that closes the first one."""
    depth = 0
    for index, each in enumerate(tokens):
        depth += (each == "(") - (each == ")")
        if depth == 0:
            return index
    return len(tokens)
