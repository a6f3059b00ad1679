"""What a statement of SQL reads and writes. Knows nothing of Django, nor of a connection."""

from cache_invalidation.sql.analysis import analyze
from cache_invalidation.sql.lexer import folded
from cache_invalidation.sql.statement import (
    Condition,
    Dialect,
    Join,
    Joins,
    Kind,
    Parameter,
    Read,
    Statement,
    Value,
    Write,
)

__all__ = [
    "Condition",
    "Dialect",
    "Join",
    "Joins",
    "Kind",
    "Parameter",
    "Read",
    "Statement",
    "Value",
    "Write",
    "analyze",
    "folded",
]
