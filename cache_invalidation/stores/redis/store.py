"""Entries and versions in Redis or Valkey, through the `django-redis` client of an alias.

Scripts are sent whole (EVAL): there is no "script unknown" after a restart, a failover or a flush,
and the server compiles each of them once.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from django.core.cache import caches
from django.core.cache.backends.base import default_key_func
from django_redis.client import ShardClient
from redis.exceptions import RedisError, ResponseError

from cache_invalidation.conf import settings
from cache_invalidation.stores.base import (
    NAMESPACE,
    TOMBSTONE_TIMEOUT,
    VERSION_GRACE,
    Delivery,
    Entry,
    Found,
    Store,
    Version,
    Versions,
    entry_name,
    guarded,
    lock_name,
    new_token,
    seal,
    version_name,
)
from cache_invalidation.stores.redis_connection import (
    Command,
    Server,
    ask,
    ask_all,
    connect,
    probe,
    without_comments,
)
from cache_invalidation.tags import ROOT

# The last three are what an answer of an unexpected shape leads to.
ERRORS: Final = (RedisError, OSError, ValueError, TypeError, AttributeError)
CHUNK: Final = 1000  # keys for each SCAN and UNLINK
MINUTES_KEPT: Final = 24 * 60

_LUA = {path.stem: without_comments(path) for path in (Path(__file__).parent / "lua").glob("*.lua")}

# An entry: its kind, its seal; the length of its further tags and these, if it is of the second
# kind; its value.
_PLAIN, _WITH_TAGS = b"\x01", b"\x02"


class RedisStore(Store):
    """Redis 7.0 or Valkey 7.2, or newer.

    Entries and versions are read from the primary, even where `django-redis` is told to read from
    replicas. Values go through the serializer and the compressor of the alias, names through its
    ``make_key``.
    """

    counts_fences = True
    supports_patterns = True
    refusals = (ResponseError,)

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        # One backend for all threads: the client below it is made to be shared.
        backend: Any = caches.create_connection(alias)
        self._cache = backend
        self._codec = backend.client
        self._names: dict[str, str] = {}
        # A KEY_FUNCTION of the project may answer differently each time: by tenant, for instance.
        self._names_are_fixed = backend.key_func is default_key_func
        self.server = Server(root=self._version_key(ROOT))
        self._redis: Any = connect(self._codec, self.server)

    def close(self) -> None:
        self._redis.connection_pool.disconnect()

    def problem(self) -> str | None:
        if isinstance(self._codec, ShardClient):
            return f"{type(self._codec).__qualname__} spreads keys over several servers"
        return probe(self._codec, self.server.root).problem

    # Names

    def _key(self, name: str) -> str:
        return str(self._cache.make_key(name))

    def _version_key(self, tag: str) -> str:
        if not self._names_are_fixed:
            return self._key(version_name(tag))
        try:
            return self._names[tag]
        except KeyError:
            if len(self._names) >= 10_000:
                self._names.clear()
            return self._names.setdefault(tag, self._key(version_name(tag)))

    # What readers need

    @guarded(*ERRORS)
    def lookup(self, entry: str, tags: Sequence[str], *, with_further: bool = False) -> Found:
        names = [self._key(entry_name(entry)), *map(self._version_key, tags)]
        further: list[bytes | None] = []
        if with_further and self._names_are_fixed:
            # Slower than MGET, and faster than a second round trip.
            prefix = self._version_key("")
            raw, found, further = ask(self._redis, *_script("lookup", names, prefix))
        else:
            raw, *found = ask(self._redis, "MGET", *names)
        versions = dict(zip(tags, map(_text, found), strict=True))
        if raw is None:
            return Found(None, versions)
        kind = raw[:1]
        if further:
            unpacked = _unpack(raw)
            versions.update(zip(unpacked.further, map(_text, further), strict=True))
            return Found(unpacked, dict(sorted(versions.items())))
        if kind in (_PLAIN, _WITH_TAGS):
            return Found(_unpack(raw), versions)
        mark = raw.decode(errors="replace") if kind == b"~" else ""
        return Found(None, versions, mark, entry_fenced=kind == b"!")

    @guarded(*ERRORS)
    def versions(self, tags: Sequence[str]) -> Versions:
        found = self._redis.execute_command("MGET", *map(self._version_key, tags))
        return dict(zip(tags, map(_text, found), strict=True))

    @guarded(*ERRORS)
    def mint(self, tags: Sequence[str], timeout: float | None) -> Versions:
        lifetime = None if timeout is None else _ms(timeout + VERSION_GRACE)
        fresh = {tag: new_token() for tag in tags}
        if ROOT in fresh:
            fresh[ROOT] += self.server.run_id
        pipeline = self._redis.pipeline(transaction=False)
        for tag, token in fresh.items():
            pipeline.set(self._version_key(tag), token, nx=True, get=True, px=lifetime)
        found = map(_text, pipeline.execute())
        return {tag: there or fresh[tag] for tag, there in zip(tags, found, strict=True)}

    def encode(self, value: Any) -> bytes:
        encoded = self._codec.encode(value)
        return encoded if isinstance(encoded, bytes) else str(encoded).encode()

    @guarded(*ERRORS)
    def fill(
        self,
        entry: str,
        payload: bytes,
        versions: Versions,
        further: Sequence[str],
        timeout: float | None,
        mark: str,
    ) -> bool:
        keys = [self._key(entry_name(entry)), *map(self._version_key, versions)]
        lives = (0, 0) if timeout is None else (_ms(timeout), _ms(timeout + VERSION_GRACE))
        arguments = _pack(payload, versions, further), *lives, mark, *versions.values()
        return bool(ask(self._redis, *_script("fill", keys, *arguments)))

    def decode(self, payload: Any) -> Any:
        try:
            return self._codec.decode(payload)
        except Exception as error:
            raise ValueError(f"unreadable entry: {error!r}") from error

    @guarded(*ERRORS)
    def acquire(self, entry: str, token: str, timeout: float) -> bool:
        name = self._key(lock_name(entry))
        return bool(self._redis.set(name, token, nx=True, px=_ms(timeout)))

    @guarded(*ERRORS)
    def release(self, entry: str, token: str) -> None:
        ask(self._redis, *_script("release", [self._key(lock_name(entry))], token))

    # What writers need

    @guarded(*ERRORS, urgent=True)
    def fence(self, tags: Sequence[str], entries: Sequence[str], token: str) -> None:
        keys = self._protected(tags, entries)
        lasts = settings.FENCE_TIMEOUT + settings.REPLICA_LAG
        ask(self._redis, *_script("fence", keys, token, _ms(lasts)))

    @guarded(*ERRORS, urgent=True)
    def deliver(self, delivery: Delivery) -> bool:
        commands: list[Command] = []
        protected = self._protected(delivery.tags, delivery.entries)
        if protected:
            lag = _ms(settings.REPLICA_LAG) if settings.REPLICA_LAG else 0
            arguments = delivery.token, lag, len(delivery.tags), _ms(TOMBSTONE_TIMEOUT)
            commands.append(_script("lift", protected, *arguments))
        for chunk in _chunks(map(self._key, delivery.keys)):
            commands.append(("UNLINK", *chunk))
        essential = len(commands)
        if delivery.counts:
            commands.append(self._counting(delivery.counts, delivery.last))
        # A server without memory to spare drops all the same, and only cannot count.
        answers = ask_all(self._redis, commands)
        for answer in answers[:essential]:
            if isinstance(answer, Exception):
                raise answer
        return not any(isinstance(answer, Exception) for answer in answers[essential:])

    def _protected(self, tags: Sequence[str], entries: Sequence[str]) -> list[str]:
        return [*map(self._version_key, tags), *(self._key(entry_name(e)) for e in entries)]

    @guarded(*ERRORS, urgent=True)
    def delete_patterns(self, patterns: Iterable[str]) -> int:
        # Versions and fences are in the same keyspace and none of a pattern's business.
        own = self._key(NAMESPACE).encode()
        deleted = 0
        for pattern in patterns:
            match = self._codec.make_pattern(pattern)
            keys = self._redis.scan_iter(match=match, count=CHUNK)
            for chunk in _chunks(key for key in keys if not key.startswith(own)):
                deleted += int(self._redis.execute_command("UNLINK", *chunk))
        return deleted

    # Counters

    @guarded(*ERRORS)
    def count(self, counts: Mapping[str, int]) -> None:
        ask(self._redis, *self._counting(counts))

    def _counting(self, counts: Mapping[str, int], last: str = "") -> Command:
        names = self._totals, self._minute(int(time.time() // 60))
        now = datetime.now(UTC).isoformat()
        pairs = chain.from_iterable(counts.items())
        return _script("count", names, MINUTES_KEPT * 60 + 60, now, last, *pairs)

    @guarded(*ERRORS)
    def counters(self) -> dict[str, str]:
        found = self._redis.execute_command("HGETALL", self._totals)
        return {_spell(name): _spell(value) for name, value in found.items()}

    @guarded(*ERRORS)
    def counters_per_minute(self, minutes: Sequence[int]) -> list[dict[str, int]]:
        pipeline = self._redis.pipeline(transaction=False)
        for minute in minutes:
            pipeline.execute_command("HGETALL", self._minute(minute))
        return [
            {_spell(name): int(value) for name, value in found.items()}
            for found in pipeline.execute()
        ]

    @guarded(*ERRORS)
    def reset_counters(self) -> None:
        now = int(time.time() // 60)
        minutes = (self._minute(minute) for minute in range(now - MINUTES_KEPT, now + 1))
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.execute_command("UNLINK", *minutes, self._totals)
        since = datetime.now(UTC).isoformat()
        pipeline.execute_command("HSET", self._totals, "since", since)
        pipeline.execute()

    @property
    def _totals(self) -> str:
        return self._key(f"{NAMESPACE}{{counters}}")

    def _minute(self, minute: int) -> str:
        return self._key(f"{NAMESPACE}{{counters}}:{minute}")


def _script(name: str, keys: Sequence[str], *args: Any) -> Command:
    return ("EVAL", _LUA[name], len(keys), *keys, *args)


def _text(raw: bytes | None) -> Version:
    return None if raw is None else raw.decode(errors="replace")


def _spell(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _chunks(keys: Iterable[Any]) -> Iterator[list[Any]]:
    keys = iter(keys)
    while chunk := list(islice(keys, CHUNK)):
        yield chunk


def _pack(payload: bytes, versions: Versions, further: Sequence[str]) -> bytes:
    if not further:
        return b"".join((_PLAIN, seal(versions), payload))
    tags = "\n".join(further).encode()
    return b"".join((_WITH_TAGS, seal(versions), len(tags).to_bytes(4), tags, payload))


def _unpack(raw: bytes) -> Entry:
    if raw[:1] == _PLAIN:
        return Entry(raw[1:13], (), raw[13:])
    end = 17 + int.from_bytes(raw[13:17])
    return Entry(raw[1:13], tuple(raw[17:end].decode(errors="replace").split("\n")), raw[end:])
