"""All ways of writing, section by section."""

from tests.coverage_matrix import (
    asked,
    deletes,
    failing,
    querysets,
    raw,
    relations,
    saves,
    transactions,
)

SECTIONS = [
    saves.section,
    querysets.section,
    deletes.section,
    relations.section,
    raw.section,
    transactions.section,
    failing.section,
    asked.section,
]
WAYS = [way for section in SECTIONS for way in section.ways]
