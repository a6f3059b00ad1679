"""What the database makes of a model, where that is not what Django would have made.

Names that need quoting, types of columns that compare in their own way, tables in partitions.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Of this type are the texts of models that are made up.
_TEXT: Final = "varchar(20)"
_TYPES: Final = {
    "postgresql": ("char(20)", "citext", "fuzz_text"),
    "sqlite": ("varchar(20) COLLATE NOCASE", "varchar(20) COLLATE RTRIM"),
}
_NAMES: Final = ("odd.name", "Two Words", "ALLCAPS", "select", "größe", '"quoted.name"', "it's")
_SCHEMA: Final = "fuzz_reports"


@dataclass(frozen=True)
class Oddity:
    """How the tables of a schema differ from what Django makes."""

    db_table: str | None
    # The type of all texts, and whether the first table is in partitions.
    text: str | None
    is_split: bool

    @contextmanager
    def made_so(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Create tables in this way until the block ends."""
        _prepare(connection)

        def rewrite(execute: Any, sql: Any, *about: Any) -> Any:
            text = str(sql).replace(" varchar_pattern_ops", "")
            if text.startswith("CREATE TABLE"):
                if self.text is not None:
                    text = text.replace(_TEXT, self.text)
                if self.is_split and "FuzzA".lower() in text.split("(")[0]:
                    text += ' PARTITION BY HASH ("id")'
            return execute(text, *about)

        with connection.execute_wrapper(rewrite):
            yield


USUAL: Final = Oddity(None, None, False)


def random_oddity(rng: random.Random, alias: str) -> Oddity:
    """Return one; most have something of it."""
    vendor = connections[alias].vendor
    names = [*_NAMES, *([f'{_SCHEMA}"."monthly'] if vendor == "postgresql" else [])]
    is_split = vendor == "postgresql" and rng.random() < 0.3
    name = rng.choice(names) if rng.random() < 0.6 and not is_split else None
    text = rng.choice(_TYPES[vendor]) if rng.random() < 0.5 else None
    return Oddity(name, text, is_split)


def _prepare(connection: BaseDatabaseWrapper) -> None:
    """Make the schema and the types that are needed; they stay."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
        cursor.execute("CREATE EXTENSION IF NOT EXISTS citext")
        with suppress(DatabaseError):  # It is there.
            cursor.execute("CREATE DOMAIN fuzz_text AS citext")
