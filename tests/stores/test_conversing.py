"""Commands as they are sent, with and without the extra that packs them faster."""

import pytest
from redis.connection import Connection

from cache_invalidation.stores.redis import conversing
from cache_invalidation.stores.redis.conversing import packed

COMMANDS = [
    ("MGET", "plain", "grün", ""),
    ("EVAL", "return 1\r\n", 2, "a b", b"\x00\xff", 1.5),
    ("PING",),
]


def test_commands_are_packed_as_redis_py_packs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection()
    expected = b"".join(connection.pack_commands(COMMANDS))
    assert b"".join(packed(connection, COMMANDS)) == expected
    monkeypatch.setattr(conversing, "pack_command", None)
    assert b"".join(packed(connection, COMMANDS)) == expected
    assert expected.startswith(
        b"*4\r\n$4\r\nMGET\r\n$5\r\nplain\r\n$5\r\ngr\xc3\xbcn\r\n$0\r\n\r\n*6"
    )
