"""Whether a query returns the same as long as its tables hold the same: no time, no random rows.

What is not known to be steady is not: of functions, only those in the list below are.
"""

import re
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
    "ALL AND ANY ARRAY AS BETWEEN BIT BY CASE CAST CHAR CHARACTER DECIMAL DISTINCT ELSE ESCAPE "
    "EXCEPT EXISTS FILTER FLOAT FROM GROUP HAVING ILIKE IN INTERSECT INTERVAL IS JOIN LATERAL LIKE "
    "LIMIT NOT NUMERIC OFFSET ON OR ORDER OVER PARTITION REGEXP SELECT SOME THEN TIME TIMESTAMP "
    "UNION USING VALUES VARCHAR VARYING WHEN WHERE WITHIN"
)
_FUNCTIONS: Final = words(
    # Aggregates and windows
    "ANY_VALUE ARRAY_AGG AVG BIT_AND BIT_OR BIT_XOR BOOL_AND BOOL_OR CORR COUNT COVAR_POP "
    "COVAR_SAMP CUME_DIST DENSE_RANK FIRST_VALUE GROUP_CONCAT JSONB_AGG JSON_AGG LAG LAST_VALUE "
    "LEAD MAX MIN MODE NTH_VALUE NTILE PERCENTILE_CONT PERCENTILE_DISC PERCENT_RANK RANK REGR_AVGX "
    "REGR_AVGY REGR_COUNT REGR_INTERCEPT REGR_R2 REGR_SLOPE REGR_SXX REGR_SXY REGR_SYY ROW_NUMBER "
    "STDDEV_POP STDDEV_SAMP STD STRING_AGG SUM TOTAL VARIANCE VAR_POP VAR_SAMP XMLAGG "
    # Texts
    "ASCII BTRIM CHAR_LENGTH CHR CONCAT CONCAT_WS FORMAT HEX INITCAP INSTR LCASE LEFT LENGTH "
    "LOCATE LOWER LPAD LTRIM MD5 OCTET_LENGTH ORD OVERLAY POSITION REGEXP_REPLACE REPEAT REPLACE "
    "REVERSE RIGHT RPAD RTRIM SHA1 SHA224 SHA256 SHA384 SHA512 SPLIT_PART STRPOS SUBSTR SUBSTRING "
    "TRANSLATE TRIM UCASE UNICODE UPPER "
    # Numbers
    "ABS ACOS ASIN ATAN ATAN2 CEIL CEILING COS COT DEGREES DIV EXP FLOOR LN LOG LOG10 LOG2 MOD PI "
    "POW POWER RADIANS ROUND SIGN SIN SQRT TAN TRUNC TRUNCATE "
    # Moments that are given
    "DATE_TRUNC EXTRACT MAKE_DATE MAKE_INTERVAL MAKE_TIME MAKE_TIMESTAMP "
    "DJANGO_DATETIME_CAST_DATE DJANGO_DATETIME_CAST_TIME DJANGO_DATETIME_EXTRACT "
    "DJANGO_DATETIME_TRUNC DJANGO_DATE_EXTRACT DJANGO_DATE_TRUNC DJANGO_FORMAT_DTDELTA "
    "DJANGO_TIMESTAMP_DIFF DJANGO_TIME_DIFF DJANGO_TIME_EXTRACT DJANGO_TIME_TRUNC "
    # The rest
    "ARRAY_LENGTH ARRAY_POSITION CARDINALITY COALESCE COLLATE CONVERT GREATEST IFNULL IIF ISNULL "
    "JSON JSONB_ARRAY_LENGTH JSONB_BUILD_OBJECT JSONB_BUILD_ARRAY JSON_ARRAY JSON_ARRAY_LENGTH "
    "JSON_BUILD_ARRAY JSON_BUILD_OBJECT JSON_EXTRACT JSON_GROUP_ARRAY JSON_OBJECT JSON_TYPE "
    "JSON_UNQUOTE LEAST LOWER_INC LOWER_INF NULLIF PHRASETO_TSQUERY PLAINTO_TSQUERY SETWEIGHT "
    "SIMILARITY STRICT_WORD_SIMILARITY TO_TSQUERY TO_TSVECTOR TS_HEADLINE TS_RANK TS_RANK_CD "
    "TYPEOF UNNEST UPPER_INC UPPER_INF WEBSEARCH_TO_TSQUERY WORD_SIMILARITY"
)
_KNOWN: Final = _KEYWORDS | _FUNCTIONS
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
        if after == "(" and name_of(token) is not None and not _is_known(token, before):
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


def _is_known(token: str, before: str) -> bool:
    # With a schema before it, a function may be another one than that of its name.
    return before != "." and (token in _KNOWN or token.startswith(_GEOGRAPHIC))
