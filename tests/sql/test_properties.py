"""What holds for every statement."""

import re
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache_invalidation.sql import Dialect, Statement, analyze
from cache_invalidation.sql.lexer import words

KNOWN = frozenset({"shop_product", "shop_category", "shop_tag"})
DIALECTS = st.sampled_from(get_args(Dialect))
NAMES = st.sampled_from([*sorted(KNOWN), "elsewhere"])
EXAMPLES = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PIECES = sorted(
    words(
        """
        SELECT * FROM WHERE INSERT INTO VALUES UPDATE SET DELETE WITH AS ( ) , ; . = IN %s ? %(x)s
        %% ' '' " ` [ ] $$ $a$ /* */ /*! -- # \\ E' :: CASE WHEN END AND OR NOT BETWEEN UNION JOIN
        ON CONFLICT DO NOTHING REPLACE MERGE USING MATCHED THEN TRUNCATE COPY EXPLAIN ANALYZE CALL
        1 id shop_product "shop_tag" `shop_category` public.shop_tag 'shop_tag' CREATE TABLE UNNEST
        """
    )
)


@EXAMPLES
@given(st.text(), DIALECTS)
def test_no_text_raises(sql: str, dialect: Dialect) -> None:
    assert isinstance(analyze(sql, dialect, KNOWN), Statement)


@EXAMPLES
@given(st.lists(st.sampled_from(PIECES), max_size=30), DIALECTS)
def test_no_mixture_of_sql_raises(pieces: list[str], dialect: Dialect) -> None:
    assert isinstance(analyze(" ".join(pieces), dialect, KNOWN), Statement)


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, set[str]]:
    """A statement that all dialects know, and the tables that it writes."""
    target, source, alias = draw(NAMES), draw(NAMES), draw(st.sampled_from(["x", "shop", "id"]))
    value = draw(
        st.sampled_from(["%s", "3", "'shop_tag'", "NULL", f"(SELECT MAX(id) FROM {source})"])
    )
    condition = draw(
        st.sampled_from(
            ["id = %s", f"id IN (%s, {value})", f"a > {value}", "NOT (id = 3 OR name = '--')"]
        )
    )
    query = draw(
        st.sampled_from(
            [
                f"SELECT id FROM {source} WHERE {condition}",
                f"SELECT {alias}.id FROM {source} {alias} JOIN {target} y ON {alias}.id = y.id",
                f"SELECT id FROM {source} UNION SELECT id FROM {target}",
            ]
        )
    )
    text, written = draw(
        st.sampled_from(
            [
                (query, set()),
                (f"INSERT INTO {target} (id, a) VALUES (%s, {value})", {target}),
                (f"INSERT INTO {target} (id) {query}", {target}),
                (f"UPDATE {target} SET a = {value} WHERE {condition}", {target}),
                (f"DELETE FROM {target} WHERE {condition}", {target}),
                (f"DELETE FROM {target} WHERE id IN ({query})", {target}),
            ]
        )
    )
    return text, written & KNOWN


@EXAMPLES
@given(st.lists(statements(), min_size=1, max_size=3), DIALECTS)
def test_the_written_tables_are_found_and_no_others(
    parts: list[tuple[str, set[str]]], dialect: Dialect
) -> None:
    sql = "; ".join(text for text, _ in parts)
    assert analyze(sql, dialect, KNOWN).tables_written == set().union(*(w for _, w in parts))


NONSENSE = st.sampled_from(["???", "(", ")", "= =", "]", "::", "..", "~ ~ 'x'"])


@EXAMPLES
@given(statements(), st.integers(0, 200), NONSENSE, DIALECTS)
def test_a_damaged_statement_still_writes_what_it_wrote(
    statement: tuple[str, set[str]], position: int, nonsense: str, dialect: Dialect
) -> None:
    text, written = statement
    parts = text.split(" ")
    # Not before the first word, which tells what the statement is.
    parts.insert(1 + position % len(parts), nonsense)
    assert written <= analyze(" ".join(parts), dialect, KNOWN).tables_written


COMMENTS = st.sampled_from([" ", "\n\t", " /* shop_tag ' */ ", " -- \"shop_tag'\n", "\r\n  "])


@EXAMPLES
@given(statements(), st.lists(COMMENTS, min_size=1, max_size=5), st.booleans(), DIALECTS)
def test_comments_space_and_case_change_nothing(
    statement: tuple[str, set[str]], spaces: list[str], upper: bool, dialect: Dialect
) -> None:
    text, _ = statement
    parts = text.split(" ")
    other = ""
    for index, part in enumerate(parts):
        other += part.upper() if upper and "%" not in part else part
        other += spaces[index % len(spaces)]
    assert analyze(other, dialect, KNOWN) == analyze(text, dialect, KNOWN)


@EXAMPLES
@given(statements(), DIALECTS)
def test_names_in_quotes_are_the_same_names(
    statement: tuple[str, set[str]], dialect: Dialect
) -> None:
    text, _ = statement
    quote = "`" if dialect == "mysql" else '"'
    quoted = re.sub(r"\b(shop_\w+|elsewhere)\b", rf"{quote}\1{quote}", text)
    ours, theirs = analyze(text, dialect, KNOWN), analyze(quoted, dialect, KNOWN)
    assert ours.tables_written == theirs.tables_written
    assert ours.tables_read == theirs.tables_read


@EXAMPLES
@given(statements(), DIALECTS)
def test_another_name_is_another_table_in_the_same_place(
    statement: tuple[str, set[str]], dialect: Dialect
) -> None:
    text, _ = statement
    renamed = text.replace("shop_", "store_")
    theirs = analyze(renamed, dialect, frozenset(n.replace("shop_", "store_") for n in KNOWN))
    ours = analyze(text, dialect, KNOWN)
    assert {n.replace("shop_", "store_") for n in ours.tables_written} == theirs.tables_written
    assert {n.replace("shop_", "store_") for n in ours.tables_read} == theirs.tables_read


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_deep_nesting_is_not_followed(dialect: Dialect) -> None:
    sql = "UPDATE shop_tag SET a = " + "(" * 20_000 + "1" + ")" * 20_000
    assert analyze(sql, dialect, KNOWN).tables_written == {"shop_tag"}
