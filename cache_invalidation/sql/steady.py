"""Whether a query returns the same as long as its tables hold the same: no time, no random rows.

What is not known to be steady is not: of functions, only those in the lists below are.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from cache_invalidation.sql.lexer import UnreadableError, name_of, tokenize, words
from cache_invalidation.sql.statement import Dialect

LONGEST: Final = 64  # characters, but for blanks, of a text that may name a moment

# What databases take for a moment where they expect one, in a literal or in a parameter.
_MOMENT: Final = re.compile(r"\b(?:now|today|tomorrow|yesterday|localtime)\b", re.IGNORECASE)

# What stands for the time, or for who asks, without brackets; and what locks or writes.
_UNSTEADY: Final = words(
    "CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP SYSDATE UTC_TIMESTAMP "
    "UTC_DATE UTC_TIME CURRENT_USER SESSION_USER SYSTEM_USER USER CURRENT_ROLE CURRENT_SCHEMA "
    "CURRENT_CATALOG TABLESAMPLE INTO SHARE"
)
# Words that brackets may follow and that are no functions, types among them.
_KEYWORDS: Final = words(
    "ALL AND ANY ARRAY AS BETWEEN BIT BY CASE CAST CHAR CHARACTER COLLATE DECIMAL DISTINCT ELSE "
    "ESCAPE EXCEPT EXISTS FILTER FLOAT FROM GROUP HAVING ILIKE IN INTERSECT INTERVAL IS JOIN "
    "LATERAL LIKE LIMIT NOT NUMERIC OFFSET ON OR ORDER OVER PARTITION REGEXP SELECT SOME THEN TIME "
    "TIMESTAMP UNION USING VALUES VARCHAR VARYING WHEN WHERE WITHIN"
)
_EVERYWHERE: Final = _KEYWORDS | words(
    # Aggregates and windows
    "AVG COUNT CUME_DIST DENSE_RANK FIRST_VALUE LAG LAST_VALUE LEAD MAX MIN NTH_VALUE NTILE "
    "PERCENT_RANK RANK ROW_NUMBER STDDEV_POP STDDEV_SAMP SUM VAR_POP VAR_SAMP "
    # Texts
    "CONCAT CONCAT_WS FORMAT LENGTH LOWER LPAD LTRIM MD5 OCTET_LENGTH REPEAT REPLACE REVERSE RPAD "
    "RTRIM SUBSTR SUBSTRING TRIM UPPER "
    # Numbers
    "ABS ACOS ASIN ATAN ATAN2 CEIL CEILING COS COT DEGREES EXP FLOOR LN LOG LOG10 MOD PI POW POWER "
    "RADIANS ROUND SIGN SIN SQRT TAN "
    # The rest
    "COALESCE JSON_ARRAY JSON_OBJECT NULLIF"
)
# By database: where none comes with it, a function of that name is somebody's own.
_KNOWN: Final[Mapping[Dialect, frozenset[str]]] = {
    "postgresql": _EVERYWHERE
    | words(
        "ANY_VALUE ARRAY_AGG BIT_AND BIT_OR BIT_XOR BOOL_AND BOOL_OR CORR COVAR_POP COVAR_SAMP "
        "JSONB_AGG JSON_AGG MODE PERCENTILE_CONT PERCENTILE_DISC REGR_AVGX REGR_AVGY REGR_COUNT "
        "REGR_INTERCEPT REGR_R2 REGR_SLOPE REGR_SXX REGR_SXY REGR_SYY STRING_AGG VARIANCE XMLAGG "
        "ASCII BTRIM CHAR_LENGTH CHR CONVERT INITCAP LEFT OVERLAY POSITION REGEXP_REPLACE RIGHT "
        "SHA224 SHA256 SHA384 SHA512 SPLIT_PART STRPOS TRANSLATE DIV TRUNC "
        # Moments that are given
        "DATE_TRUNC EXTRACT MAKE_DATE MAKE_INTERVAL MAKE_TIME MAKE_TIMESTAMP "
        "ARRAY_LENGTH ARRAY_POSITION CARDINALITY GREATEST JSONB_ARRAY_LENGTH JSONB_BUILD_ARRAY "
        "JSONB_BUILD_OBJECT JSON_ARRAY_LENGTH JSON_BUILD_ARRAY JSON_BUILD_OBJECT LEAST LOWER_INC "
        "LOWER_INF UNNEST UPPER_INC UPPER_INF PHRASETO_TSQUERY PLAINTO_TSQUERY SETWEIGHT "
        "SIMILARITY STRICT_WORD_SIMILARITY TO_TSQUERY TO_TSVECTOR TS_HEADLINE TS_RANK TS_RANK_CD "
        "WEBSEARCH_TO_TSQUERY WORD_SIMILARITY"
    ),
    "sqlite": _EVERYWHERE
    | words(
        "ANY_VALUE GROUP_CONCAT JSON_GROUP_ARRAY STRING_AGG TOTAL HEX INSTR SHA1 SHA224 SHA256 "
        "SHA384 SHA512 UNICODE LOG2 TRUNC IFNULL IIF JSON JSON_ARRAY_LENGTH JSON_EXTRACT JSON_TYPE "
        "TYPEOF DJANGO_DATETIME_CAST_DATE DJANGO_DATETIME_CAST_TIME DJANGO_DATETIME_EXTRACT "
        "DJANGO_DATETIME_TRUNC DJANGO_DATE_EXTRACT DJANGO_DATE_TRUNC DJANGO_FORMAT_DTDELTA "
        "DJANGO_TIMESTAMP_DIFF DJANGO_TIME_DIFF DJANGO_TIME_EXTRACT DJANGO_TIME_TRUNC"
    ),
    "mysql": _EVERYWHERE
    | words(
        "ANY_VALUE BIT_AND BIT_OR BIT_XOR GROUP_CONCAT STD VARIANCE ASCII CHAR_LENGTH CONVERT HEX "
        "INSTR LCASE LEFT LOCATE ORD POSITION REGEXP_REPLACE RIGHT SHA1 UCASE DIV LOG2 TRUNCATE "
        "EXTRACT GREATEST IFNULL ISNULL JSON_EXTRACT JSON_TYPE JSON_UNQUOTE LEAST"
    ),
}
_GEOGRAPHIC: Final = "ST_"  # All functions of PostGIS that Django uses are of this kind.


def is_steady(sql: str, dialect: Dialect) -> bool:
    """Whether the text says nothing that makes a query return something else each time."""
    try:
        tokens = tokenize(sql, dialect)
    except UnreadableError:
        return False
    if not _UNSTEADY.isdisjoint(tokens) or _locks(tokens):
        return False
    before = ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token[0] == "'" and _MOMENT.search(token):
            return False
        if dialect == "mysql" and token[0] == "@":
            return False  # A variable.
        if after == "(" and name_of(token) is not None and not _is_known(token, before, dialect):
            return False
        before = token
    return True


def names_moment(params: Any) -> bool:
    """Whether a parameter may stand for the time at which the query is executed."""
    return any(map(_names_moment, params))


def _names_moment(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_MOMENT.search(value)) and sum(map(len, value.split())) <= LONGEST
    if isinstance(value, list | tuple):
        return names_moment(value)
    return hasattr(value, "bounds") and names_moment((value.lower, value.upper))  # A range.


def _locks(tokens: list[str]) -> bool:
    locks = words("UPDATE NO KEY")
    return any(before == "FOR" and after in locks for before, after in pairwise(tokens))


def _is_known(token: str, before: str, dialect: Dialect) -> bool:
    # With a schema before it, a function may be another one than that of its name.
    return before != "." and (token in _KNOWN[dialect] or token.startswith(_GEOGRAPHIC))
