"""Rows as the cache keeps them, with serializers that know all types and with those that do not."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.utils.safestring import SafeString
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.querysets import rows
from cache_invalidation.surfaces.querysets.keys import key_of
from tests.checks.reporting import configured

VALUES: list[Any] = [
    None,
    True,
    1,
    -(2**70),
    0.1,
    float("inf"),
    "text\x00\ud7ff",
    "",
    b"\x00\xff",
    Decimal("1.50"),
    Decimal("NaN"),
    UUID(int=7),
    date(2020, 2, 29),
    datetime(2020, 1, 2, 3, 4, 5, 6),
    datetime(2020, 1, 2, tzinfo=UTC),
    datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    time(1, 2, 3, fold=1),
    time(1, tzinfo=UTC),
    timedelta(days=-1, microseconds=3),
    [1, [Decimal(2), None]],
    ["Decimal", "1"],
    (1, "a"),
    {"a": {1: [b"x"]}},
]


@pytest.fixture(params=["default", "zlib", "redis_django", "locmem", "dbcache"])
def store(request: pytest.FixtureRequest) -> Any:
    with configured(CACHE=request.param):
        yield get_store()


def test_they_come_back_as_they_were(store: Any) -> None:
    found = [tuple(VALUES), (), (1,)]
    again = rows.Kept.decode(rows.encode(found, store), store)
    assert repr(again) == repr(found)
    assert [type(value) for value in again[0]] == list(map(type, VALUES))
    assert again[0][15].utcoffset() == found[0][15].utcoffset()


def test_a_buffer_of_the_driver_becomes_bytes(store: Any) -> None:
    assert rows.Kept.decode(rows.encode([(memoryview(b"x"),)], store), store) == [(b"x",)]


@pytest.mark.parametrize(
    "value", [object(), datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=1))), SafeString("x")]
)
def test_what_json_cannot_give_back_is_refused(value: Any) -> None:
    with configured(CACHE="zlib"), pytest.raises(TypeError, match="has no spelling"):
        rows.encode([(value,)], get_store())


@pytest.mark.parametrize("payload", [[[["Decimal", "x"]]], [[["nothing", 1]]], [3], [[[1]]]])
def test_what_cannot_be_read_is_computed_anew(payload: Any) -> None:
    with configured(CACHE="zlib"), pytest.raises(ValueError, match=r"unreadable|unpack|int"):
        rows.Kept.decode(get_store().encode(payload), get_store())


def test_there_is_a_limit(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST", 2)
    rows.encode([(1,)] * 2, store)
    with pytest.raises(rows.TooManyError):
        rows.encode([(1,)] * 3, store)
    monkeypatch.setattr(rows, "LONGEST", 10)
    with pytest.raises(rows.TooManyError):
        rows.encode([("x" * 11,)], store)


class Text(str):
    """What carries more than its text does."""

    __slots__ = ("more",)


PARAMETERS: list[Any] = [
    *VALUES,
    "1",
    1.0,
    Decimal(1),
    b"1",
    memoryview(b"2"),
    bytearray(b"3"),
    [1],
    ["1"],
    (1,),
    [1, 2],
    [12],
    [[1], 2],
    Jsonb({"a": 1}),
    Jsonb({"a": "1"}),
    Jsonb('{"a": 1}'),
    Range(1, 2),
    Range(1, 2, "[]"),
    Range(None, 2),
    Range(empty=True),
    Range(),
]


def test_no_two_parameters_have_one_key() -> None:
    def key(*params: Any) -> str:
        return key_of("name", connections["default"], "SELECT", params, "multi")

    keys = [key(value) for value in PARAMETERS]
    assert len({*keys}) == len(PARAMETERS)
    assert keys == [key(value) for value in PARAMETERS]
    assert len({key(), key(1), key(1, 1), key((1, 1)), key("1\n1:1"), key("1", "1")}) == 6


def test_what_else_a_key_is_made_of(settings: Any) -> None:
    default, sqlite = connections["default"], connections["sqlite"]
    keys = [
        key_of("name", default, "SELECT", (), "multi"),
        key_of("name", default, "SELECT", (), "single"),
        key_of("name", default, "SELECT 1", (), "multi"),
        key_of("name", sqlite, "SELECT", (), "multi"),
        key_of("other", default, "SELECT", (), "multi"),
    ]
    with configured(CODE_VERSION="2"):
        keys.append(key_of("name", default, "SELECT", (), "multi"))
    with patch.dict(default.settings_dict, {"NAME": "another"}):
        keys.append(key_of("name", default, "SELECT", (), "multi"))
    settings.USE_TZ = False
    keys.append(key_of("name", default, "SELECT", (), "multi"))
    assert len({*keys}) == len(keys)


@pytest.mark.parametrize("value", [object(), Text("a"), {1}, [object()]])
def test_a_parameter_without_a_spelling_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        key_of("name", connections["default"], "SELECT", (value,), "multi")
