"""All ways of writing, section by section."""

from tests.coverage_matrix import deletes, querysets, raw, relations, saves, transactions

SECTIONS = [
    saves.section,
    querysets.section,
    deletes.section,
    relations.section,
    raw.section,
    transactions.section,
]
WAYS = [way for section in SECTIONS for way in section.ways]
