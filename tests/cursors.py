"""Statements that a test sends by itself."""

from typing import Any

from django.db import connections


def execute(using: str, sql: Any, params: Any = None) -> Any:
    """Execute one statement on a database, and return what the cursor returns for it."""
    with connections[using].cursor() as cursor:
        return cursor.execute(sql, params)
