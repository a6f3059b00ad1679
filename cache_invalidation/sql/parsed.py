"""Statements of any form, through sqlglot's syntax tree.

Import this module late: sqlglot takes its time to load, and most programs never need it.
"""

from collections.abc import Iterator
from logging import LogRecord, getLogger
from threading import local
from typing import Final

from sqlglot import exp, parse
from sqlglot.errors import ErrorLevel

from cache_invalidation.sql.conditions import Qualified, conditions_on
from cache_invalidation.sql.lexer import is_placeholder
from cache_invalidation.sql.names import Names
from cache_invalidation.sql.statement import (
    Condition,
    Dialect,
    Kind,
    Parameter,
    Read,
    Statement,
    Value,
    Write,
)

_DIALECTS: dict[Dialect, str] = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mysql"}
# sqlglot's own name of a placeholder says nothing about its position, so it is given one.
_POSITIONAL: Final = "positional_"
_NAMED: Final = "named_"


_parsing = local()


def _is_not_ours(record: LogRecord) -> bool:
    return not getattr(_parsing, "active", False)


# What sqlglot cannot parse is no news to whoever runs the statement.
getLogger("sqlglot").addFilter(_is_not_ours)


class NotParsedError(Exception):
    """sqlglot does not understand the statement, or not all of it."""


def analyze_parsed(tokens: list[str], dialect: Dialect, names: Names) -> Statement:
    """Return what one statement does; raises whatever sqlglot raises if that is unclear."""
    text = " ".join(_spell(token, dialect) for token in tokens)
    _parsing.active = True
    try:
        trees = parse(text, read=_DIALECTS[dialect], error_level=ErrorLevel.RAISE)
    finally:
        _parsing.active = False
    tree = trees[0]
    if len(trees) != 1 or tree is None or tree.find(exp.Command) is not None:
        raise NotParsedError
    return _Analysis(tree, names).statement()


def _spell(token: str, dialect: Dialect) -> str:
    if token[0] == '"':
        quote = "`" if dialect == "mysql" else '"'
        return quote + token[1:].replace(quote, quote * 2) + quote
    if token[0] == "'":
        return token[1:]
    if is_placeholder(token):
        key = token[1:]
        return f":{_NAMED}{key[1:]}" if key[0] == ":" else f":{_POSITIONAL}{key.strip('?')}"
    return token


class _Analysis:
    def __init__(self, tree: exp.Expr, names: Names) -> None:
        self.names = names
        self.nodes = list(tree.walk())
        self.targets: set[int] = set()  # ids of table nodes that are written and not read

    def statement(self) -> Statement:
        writes = tuple(write for node in self.nodes for write in self._writes(node))
        reads = tuple(dict.fromkeys(self._reads()))
        may_write = any(isinstance(n, exp.DML | exp.Merge | exp.Into) for n in self.nodes)
        root = self.nodes[0]
        return Statement(
            writes=writes,
            reads=reads,
            may_write=may_write,
            reads_others=self._reads_others(),
            counts_rows=isinstance(root, exp.Update | exp.Delete)
            and len(writes) == 1
            and not any(isinstance(node, exp.CTE) for node in self.nodes),
        )

    def _writes(self, node: exp.Expr) -> Iterator[Write]:
        match node:
            case exp.Merge():
                yield from self._written(node.this, "merge")
            case exp.Insert() if node.find_ancestor(exp.Merge) is None:
                yield from self._insert(node)
            case exp.Update() if node.find_ancestor(exp.Merge) is None:
                yield from self._update(node)
            case exp.Delete() if node.find_ancestor(exp.Merge) is None:
                yield from self._delete(node)
            case exp.Into():
                yield from self._written(node.this, "ddl")

    def _written(
        self,
        target: object,
        kind: Kind,
        conditions: tuple[Condition, ...] = (),
        columns: tuple[str, ...] = (),
        rows: tuple[tuple[Value | None, ...], ...] = (),
    ) -> Iterator[Write]:
        if not isinstance(target, exp.Table):
            raise NotParsedError
        self.targets.add(id(target))
        for table in self.names.tables(target.name):
            yield Write(table=table, kind=kind, conditions=conditions, columns=columns, rows=rows)

    def _insert(self, node: exp.Insert) -> Iterator[Write]:
        schema = node.this
        columns: tuple[str, ...] = ()
        target = schema
        if isinstance(schema, exp.Schema):
            target = schema.this
            columns = tuple(_name(column) for column in schema.expressions)
        rows: tuple[tuple[Value | None, ...], ...] = ()
        if isinstance(node.expression, exp.Values):
            rows = tuple(
                tuple(_value(item) for item in (row.expressions or [row.this]))
                for row in node.expression.expressions
            )
            if columns and any(len(row) != len(columns) for row in rows):
                rows = ()
        kind: Kind = "replace" if node.args.get("alternative") == "REPLACE" else "insert"
        yield from self._written(target, kind, columns=columns, rows=rows)
        conflict = node.args.get("conflict")
        if conflict is not None and conflict.expressions:
            yield from self._written(target, "update")

    def _update(self, node: exp.Update) -> Iterator[Write]:
        assigned = node.expressions
        if not all(isinstance(each, exp.EQ) for each in assigned):
            raise NotParsedError
        simple = all(isinstance(each.this, exp.Column) for each in assigned)
        columns = tuple(_name(each.this) for each in assigned) if simple else ()
        rows = (tuple(_value(each.expression) for each in assigned),) if simple else ()
        conditions = _conditions(node)
        for table in (node.this, *_joined(node.this)):
            yield from self._written(
                table, "update", self._of(table, conditions, node), columns, rows
            )

    def _delete(self, node: exp.Delete) -> Iterator[Write]:
        conditions = _conditions(node)
        named = {table.name.lower() for table in node.args.get("tables") or ()}
        for table in (node.this, *_joined(node.this)):
            # MySQL names the tables, or aliases, to delete from apart from those to look at.
            if not named or {table.name.lower(), table.alias_or_name.lower()} & named:
                yield from self._written(table, "delete", self._of(table, conditions, node))
        for table in node.args.get("tables") or ():
            yield from () if table.name == node.this.name else self._written(table, "delete")

    def _reads(self) -> Iterator[Read]:
        for node in self.nodes:
            if isinstance(node, exp.Table) and id(node) not in self.targets:
                scope = node.find_ancestor(exp.Select, exp.DML)
                conditions: tuple[Condition, ...] = ()
                if isinstance(scope, exp.Select):
                    conditions = self._of(node, _conditions(scope), scope)
                yield from self.names.reads(_parts(node), conditions)

    def _reads_others(self) -> bool:
        made_here = {node.alias.lower() for node in self.nodes if isinstance(node, exp.CTE)}
        return any(
            not self.names.tables(node.name) and node.name.lower() not in made_here
            for node in self.nodes
            if isinstance(node, exp.Table)
            if isinstance(node.this, exp.Identifier) and id(node) not in self.targets
        )

    def _of(
        self, table: exp.Expr, found: list[Qualified], scope: exp.Expr
    ) -> tuple[Condition, ...]:
        """Return the conditions on `table`, of those found in the WHERE clause of `scope`."""
        if not found:
            return ()
        where = scope.args["where"]
        tables = [
            node
            for node in self.nodes
            if isinstance(node, exp.Table | exp.Subquery)
            and node.find_ancestor(exp.Select, exp.DML) is scope
            and not _is_within(node, where)
        ]
        alias = (table.alias,) if table.alias else _parts(table)
        return conditions_on(alias, found, alone=len(tables) == 1)


def _parts(table: exp.Expr) -> tuple[str, ...]:
    return tuple(map(_spelled, table.parts)) if isinstance(table, exp.Table) else ()


def _spelled(part: exp.Expr) -> str:
    return part.name if part.args.get("quoted") else part.name.lower()


def _joined(table: exp.Expr) -> Iterator[exp.Expr]:
    for join in table.args.get("joins") or ():
        yield join.this
        yield from _joined(join.this)


def _is_within(node: exp.Expr, outer: exp.Expr) -> bool:
    parent = node.parent
    while parent is not None and parent is not outer:
        parent = parent.parent
    return parent is outer


def _conditions(node: exp.Expr) -> list[Qualified]:
    where = node.args.get("where")
    return list(_conjuncts(where.this)) if where is not None else []


def _conjuncts(node: exp.Expr) -> Iterator[Qualified]:
    match node:
        case exp.Paren():
            yield from _conjuncts(node.this)
        case exp.And():
            yield from _conjuncts(node.this)
            yield from _conjuncts(node.expression)
        case exp.EQ(this=exp.Column() as column):
            yield from _condition(column, [node.expression])
        case exp.In(this=exp.Column() as column) if node.expressions:
            yield from _condition(column, node.expressions)
        case exp.EQ(this=exp.Tuple() as row, expression=exp.Tuple() as values):
            yield from _conditions_on_row(row, values)
        case exp.In(this=exp.Tuple() as row, expressions=[exp.Tuple() as values]):
            yield from _conditions_on_row(row, values)


def _conditions_on_row(row: exp.Tuple, values: exp.Tuple) -> Iterator[Qualified]:
    if len(row.expressions) != len(values.expressions):
        return
    for column, value in zip(row.expressions, values.expressions, strict=True):
        if isinstance(column, exp.Column):
            yield from _condition(column, [value])


def _condition(column: exp.Column, items: list[exp.Expr]) -> Iterator[Qualified]:
    values = [_array(item) if isinstance(item, exp.Any) else _value(item) for item in items]
    known = tuple(value for value in values if value is not None)
    if len(known) == len(values):
        qualifier = tuple(map(_spelled, column.parts[:-1]))
        yield qualifier, Condition(column=_name(column), values=known)


def _name(node: exp.Expr) -> str:
    identifier = node.this
    if isinstance(identifier, exp.Identifier) and not identifier.quoted:
        return node.name.lower()
    quoted = isinstance(node, exp.Identifier) and node.args.get("quoted")
    return node.name if quoted or isinstance(identifier, exp.Identifier) else node.name.lower()


def _value(node: exp.Expr) -> Value | None:
    if isinstance(node, exp.Placeholder):
        name = node.name
        if name.startswith(_NAMED):
            return Parameter(name.removeprefix(_NAMED))
        position = name.removeprefix(_POSITIONAL)
        return Parameter(int(position)) if position.isdigit() else None
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.this) if node.this.isascii() and node.this.isdigit() else None
    return None


def _array(node: exp.Any) -> Value | None:
    inner = node.this
    while isinstance(inner, exp.Paren | exp.Cast):
        inner = inner.this
    value = _value(inner)
    return Parameter(value.key, is_array=True) if isinstance(value, Parameter) else None
