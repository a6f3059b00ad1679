"""Names that are quoted in one place of a statement and not in the other."""

from cache_invalidation import sql


def test_an_unquoted_key_names_the_row_of_a_quoted_table():
    text = 'UPDATE "testapp_item" SET "number" = 2 WHERE id = %s'
    (write,) = sql.analyze(text, "postgresql", frozenset({"testapp_item"})).writes
    assert [condition.column for condition in write.conditions] == ["id"]
