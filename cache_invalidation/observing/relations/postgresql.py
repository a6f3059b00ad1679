"""Asking PostgreSQL, in its catalogs, what a name stands for."""

import json
import re
from collections.abc import Collection
from contextlib import closing
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import is_interrupted
from cache_invalidation.observing.relations.relation import (
    ABSENT,
    Candidates,
    Column,
    Name,
    NotTold,
    Reference,
    Relation,
    only_unequal,
)

# In both versions of psycopg.
_IDLE: Final = 0
_IN_TRANSACTION: Final = 2
_SAVEPOINT: Final = "cache_invalidation_relations"

# Relations of the same name in different schemas that differ in nothing are one row. `above` and
# `below` are what a relation inherits from and what inherits from it, partitions included. Rows go
# `through` these, and through the views and rules that lead to any of them, as far as `wanted`.
# Where a relation stands for a name, so does the one it `refers` to, in the same schema: there is
# none of that name in a schema that has none of the other.
_CANDIDATES: Final = """
WITH RECURSIVE named AS (
    SELECT c.oid, c.relkind, c.relpersistence, c.relrowsecurity, c.relnamespace, n.nspname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %(name)s::name AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND CASE WHEN %(schema)s::name IS NULL THEN n.nspname <> 'information_schema'
        ELSE n.nspname = %(schema)s::name END
), above(origin, oid) AS (
    SELECT oid, oid FROM named
    UNION SELECT a.origin, i.inhparent
    FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
), below(origin, oid) AS (
    SELECT oid, oid FROM named
    UNION SELECT b.origin, i.inhrelid
    FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid
), through(origin, oid) AS (
    (SELECT * FROM above UNION SELECT * FROM below)
    UNION SELECT t.origin, w.ev_class
    FROM through t
    JOIN pg_catalog.pg_depend d ON d.refobjid = t.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
    JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind <> 'm'
), described AS (
    SELECT n.oid,
        CASE WHEN n.relpersistence = 't' THEN 'temporary table'
            WHEN n.relkind = 'v' THEN 'view'
            WHEN n.relkind = 'm' THEN 'materialized view'
            WHEN n.relkind = 'f' THEN 'foreign table'
            WHEN n.relkind = 'S' THEN 'sequence'
            WHEN n.nspname IN ('pg_catalog', 'pg_toast', 'information_schema') THEN 'system table'
            WHEN n.relrowsecurity THEN 'table with row level security'
            WHEN EXISTS (
                SELECT FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid
                WHERE b.origin = n.oid AND (c.relkind = 'f' OR c.relpersistence = 't')
            ) THEN 'table with foreign or temporary parts'
            ELSE '' END AS instead,
        (
            SELECT json_object_agg(a.attname, CASE
                WHEN a.atttypid IN (20, 21, 23) THEN json_build_array('integer')
                WHEN a.atttypid = 2950 THEN json_build_array('uuid')
                WHEN a.atttypid IN (25, 1043) AND o.collisdeterministic
                    THEN json_build_array('text', nullif(a.atttypmod, -1) - 4)
                END ORDER BY a.attname)::text
            FROM pg_catalog.pg_attribute a
            LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
            WHERE a.attrelid = n.oid AND a.attnum > 0 AND NOT a.attisdropped
        ) AS columns,
        ARRAY(
            SELECT DISTINCT v.relname::text
            FROM through t JOIN pg_catalog.pg_class v ON v.oid = t.oid
            WHERE t.origin = n.oid AND t.oid <> n.oid AND v.relname = ANY(%(wanted)s::name[])
            ORDER BY 1
        ) AS relatives,
        ARRAY(
            SELECT DISTINCT a.attname::text
            FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
            ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = n.oid AND i.indnkeyatts = 1 AND i.indisunique AND i.indisvalid
            AND i.indpred IS NULL
            ORDER BY 1
        ) AS keys,
        (
            SELECT json_agg(
                json_build_array(a.attname, f.relname, b.attname, NOT a.attnotnull)
                ORDER BY a.attname, k.conname
            )::text
            FROM pg_catalog.pg_constraint k
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
            JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
            JOIN pg_catalog.pg_class c ON c.oid = n.oid AND c.relnamespace = f.relnamespace
            JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
            WHERE k.conrelid = n.oid AND k.contype = 'f' AND k.convalidated
            AND cardinality(k.conkey) = 1
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_trigger t
                WHERE t.tgconstraint = k.oid AND t.tgenabled IN ('D', 'R')
            )
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_class x WHERE x.relname = f.relname
                AND x.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                AND x.relnamespace NOT IN (SELECT relnamespace FROM named)
            )
            AND coalesce(to_jsonb(k)->>'conenforced', 'true') = 'true'
        ) AS refers,
        EXISTS (
            SELECT FROM below b JOIN pg_catalog.pg_trigger t ON t.tgrelid = b.oid
            WHERE b.origin = n.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
        ) OR EXISTS (
            SELECT FROM below b JOIN pg_catalog.pg_rewrite w ON w.ev_class = b.oid
            WHERE b.origin = n.oid
        ) AS triggers
    FROM named n
)
SELECT array_agg(oid::bigint), instead, columns, relatives, keys, refers, triggers
FROM described GROUP BY instead, columns, relatives, keys, refers, triggers
"""

_TYPES: Final = """
SELECT DISTINCT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relname = %(name)s::name AND c.relkind IN ('r', 'p', 'v', 'f')
AND a.attnum > 0 AND NOT a.attisdropped
"""

_MORE: Final = """
WITH RECURSIVE named(oid) AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relname = %(name)s::name
    AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION SELECT i.inhrelid FROM named n JOIN pg_catalog.pg_inherits i ON i.inhparent = n.oid
)
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class WHERE oid IN (TABLE named) AND relkind NOT IN ('r', 'p')
) OR EXISTS (
    SELECT FROM pg_catalog.pg_trigger WHERE tgrelid IN (TABLE named)
    AND NOT tgisinternal AND tgenabled <> 'D'
) OR EXISTS (
    SELECT FROM pg_catalog.pg_rewrite WHERE ev_class IN (TABLE named)
) OR EXISTS (
    SELECT FROM pg_catalog.pg_attribute WHERE attrelid IN (TABLE named)
    AND attgenerated <> '' AND attname <> ALL (%(computed)s::name[])
)
"""


class CandidatesByOid(Candidates):
    """Those that PostgreSQL has.

    Nearly always that is one thing. Where it is not, it depends on the ``search_path`` and on the
    temporary tables of a session, and so the server has to be asked each time.
    """

    def __init__(self, name: Name, found: list[tuple[frozenset[int], Relation]]) -> None:
        super().__init__([relation for _, relation in found])
        self.name = name
        self.by_oids = found

    def meant(self, connection: BaseDatabaseWrapper) -> Relation:
        """Return the one that the session of `connection` means by the name."""
        if len(self.found) <= 1:
            return super().meant(connection)
        name = self.name[-1].replace('"', '""')
        ((oid,),) = _fetch(connection, "SELECT to_regclass(%s)::oid::bigint", [f'"{name}"'])
        return next((relation for oids, relation in self.by_oids if oid in oids), ABSENT)


def candidates(connection: BaseDatabaseWrapper, name: Name, known: Collection[str]) -> Candidates:
    """Return what `name` may mean; of the relatives, those that are called as in `known`."""
    schema = name[-2] if len(name) > 1 else None
    params = {"name": name[-1], "schema": schema, "wanted": sorted(known)}
    return CandidatesByOid(
        name,
        [
            (
                frozenset(oids),
                Relation(
                    instead=instead,
                    columns=only_unequal(
                        {
                            name: column and Column(*column)
                            for name, column in json.loads(columns or "{}").items()
                        }
                    ),
                    relatives=frozenset(relatives),
                    keys=frozenset(keys),
                    references=frozenset(
                        Reference(*reference) for reference in json.loads(refers or "[]")
                    ),
                    has_triggers=triggers,
                ),
            )
            for oids, instead, columns, relatives, keys, refers, triggers in _fetch(
                connection, _CANDIDATES, params
            )
        ],
    )


def types(connection: BaseDatabaseWrapper, name: str) -> list[tuple[str, str]]:
    """Return the types of the columns in each relation that is called `name`."""
    return _fetch(connection, _TYPES, {"name": name})


def does_more(connection: BaseDatabaseWrapper, name: str, computed: Collection[str]) -> bool:
    """Whether `name` is no table, or has triggers, rules or computed columns besides `computed`."""
    ((found,),) = _fetch(connection, _MORE, {"name": name, "computed": list(computed)})
    return bool(found)


def spelled(made: str) -> str:
    """Return the name of a type as the catalogs spell it; integers of all sizes are one."""
    name = made.lower().replace(", ", ",")
    name = re.sub(r"^time(?! with|stamp)(\(\d\))?", r"time\1 without time zone", name)
    name = re.sub(r"\bvarchar\b", "character varying", name)
    return re.sub(r"\b(big|small)int\b|\b(big|small)?serial\b", "integer", name)


def _fetch(connection: BaseDatabaseWrapper, sql: str, params: Any) -> list[Any]:
    """Return the rows of a query of ours, which must not break a transaction of the project's.

    The driver's own cursor is used, so that neither the query log nor a project's
    ``execute_wrapper`` sees a statement that the project did not issue.
    """
    driver: Any = connection.connection
    status = driver.info.transaction_status
    in_pipeline = getattr(getattr(driver, "pgconn", None), "pipeline_status", 0)
    if connection.needs_rollback or in_pipeline or status not in (_IDLE, _IN_TRANSACTION):
        raise NotTold
    with closing(connection.create_cursor()) as cursor:
        if status == _IDLE:
            return _rows(cursor, sql, params)
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            found = _rows(cursor, sql, params)
        except BaseException:
            if not is_interrupted(connection):
                cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
                cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
            raise
        cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        return found


def _rows(cursor: Any, sql: str, params: Any) -> list[Any]:
    cursor.execute(sql, params)
    return list(cursor.fetchall())
