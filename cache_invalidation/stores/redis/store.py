"""Entries and versions in Redis or Valkey, through the `django-redis` client of an alias."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from django.core.cache import caches
from django.core.cache.backends.base import default_key_func
from django_redis.cache import RedisCache
from django_redis.client import DefaultClient, ShardClient
from redis.exceptions import MaxConnectionsError, ResponseError

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import PatternsNotSupported
from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import (
    MARK_TIMEOUT,
    Condition,
    Delivery,
    Filling,
    OnWait,
    entry_name,
    mark_name,
    new_token,
    version_name,
)
from cache_invalidation.stores.near.waiting import Told
from cache_invalidation.stores.redis.connection import Primary, Servers
from cache_invalidation.stores.redis.conversing import Command, unrefused
from cache_invalidation.stores.redis.counters import ERRORS, spell
from cache_invalidation.stores.redis.entries import pack
from cache_invalidation.stores.redis.reading import RedisReading
from cache_invalidation.stores.redis.scripts import lives_of, ms, script
from cache_invalidation.tags import ROOT, escape_glob, with_rows_alone

CHUNK: Final = 1000  # keys for each SCAN and UNLINK


class RedisStore(RedisReading):
    """Redis 7.0 or Valkey 7.2, or newer.

    Entries and versions are read from the primary, even where `django-redis` is told to read from
    replicas. Values go through the serializer and the compressor of the alias.
    """

    counts_fences = True
    takes_conditions = True
    looks_at_many = True
    supports_patterns = True
    # Of the latter, too: the pool has no connection to spare, which says nothing about the server.
    refusals = (ResponseError, MaxConnectionsError)

    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self._versions, self._beside = self.shared(version_name("")), self.shared(mark_name(""))
        self._entries = self._prefix + entry_name("")
        self._open()

    def _open(self) -> None:
        # One backend for all threads: the client below it is made to be shared.
        backend: Any = caches.create_connection(self.alias)
        self._cache = backend
        self._codec = backend.client
        self.places_plainly = (
            backend.key_func is default_key_func
            and "key_prefix" in vars(backend)
            and type(backend).make_key is RedisCache.make_key
            and type(self._codec).make_key is DefaultClient.make_key
        )
        self._servers = self._connect()
        # A pool may have no connection to spare for the thread that keeps the lease.
        self._lessor = self._connect() if self.finds_holders else self._servers

    def after_fork(self) -> None:
        self.near.after_fork()
        super().after_fork()
        self._open()

    def _connect(self) -> Servers:
        return Primary(self._codec, self.version_key(ROOT), self._near)

    def close(self) -> None:
        super().close()
        self.near.close()
        self._servers.close()
        self._lessor.close()

    @guarded(*ERRORS)
    def ping(self) -> None:
        self._servers.ping()

    def condition(self) -> Condition:
        if isinstance(self._codec, ShardClient):
            kind = type(self._codec).__qualname__
            return Condition(problem=f"{kind} spreads keys over several servers")
        server = self._connect().probe()
        if server.is_cluster_node:
            needed = "its server is a node of a cluster, which needs a client class of its own"
            return Condition(problem=needed)
        return server.condition

    @property
    def longest_wait(self) -> float:
        return self._servers.longest_wait

    @property
    def longest_ask(self) -> float:
        return self._servers.longest_ask

    # Names

    def place(self, name: str) -> str:
        if self.places_plainly:
            return self._prefix + name  # As `make_key` does, which takes longer, for each lookup.
        return self._placed(self._cache.make_key, name)

    def pattern_place(self, pattern: str) -> str:
        return self._placed(self._codec.make_pattern, pattern)

    # The next are looked for with each lookup: they are what `Store` would make of them.

    def entry_place(self, key: str) -> str:
        return self._entries + key if self.places_plainly else super().entry_place(key)

    def version_key(self, tag: str) -> str:
        return self._versions + tag

    def _mark_key(self, entry: str) -> str:
        return self._beside + entry

    # What readers need

    def encode(self, value: Any) -> bytes:
        encoded = self._codec.encode(value)
        return encoded if isinstance(encoded, bytes) else str(encoded).encode()

    @guarded(*ERRORS)
    def fill(self, filling: Filling) -> bool:
        if filling.salt:
            return self._fill_and_tell(filling, "") is not None
        return bool(self._servers.ask(*self._filling("fill", filling)))

    @guarded(*ERRORS)
    def fill_and_hold(self, filling: Filling, holder: str) -> int | None:
        if filling.salt:
            return self._fill_and_tell(filling, holder)
        command = self._filling("fill_and_hold", filling, holder, self._near)
        answer = int(self._servers.ask(*command))
        return answer - 1 if answer else None

    def _fill_and_tell(self, filling: Filling, holder: str) -> int | None:
        token, (near, *rest) = new_token(), self._telling()
        command = self._filling("fill_and_tell", filling, holder, near, token, *rest)
        if not (answer := self._ask_surely(command)):
            return None
        stamp, told = answer
        self._wait_for_told(token, told, filling.entry, filling.on_wait)
        return int(stamp) - 1

    def _filling(self, name: str, filling: Filling, holder: str = "", *near: Any) -> Command:
        expected = self._expected(filling)
        keys, lives = [filling.entry, *expected], lives_of(filling.timeout)
        return script(name, keys, pack(filling), *lives, holder, *expected.values(), *near)

    def _expected(self, filling: Filling) -> dict[str, Any]:
        """Return what has to be found unchanged, by key: the mark, like a version, and these."""
        needed = {**filling.conditions, **filling.versions}
        versions = {self.version_key(tag): value for tag, value in needed.items()}
        return {self._mark_key(filling.entry): filling.mark} | versions

    @guarded(*ERRORS)
    def discard(self, entry: str, seal: bytes) -> None:
        self._servers.ask(*script("discard", [entry], seal))

    def decode(self, payload: Any) -> Any:
        try:
            return self._codec.decode(payload)
        except Exception as error:
            raise ValueError(f"unreadable entry: {error!r}") from error

    @guarded(*ERRORS)
    def acquire(self, entry: str, token: str, timeout: float) -> bool:
        name = self._lock_key(entry)
        return bool(self._servers.ask("SET", name, token, "NX", "PX", ms(timeout)))

    @guarded(*ERRORS)
    def release(self, entry: str, token: str) -> None:
        self._servers.ask(*script("release", [self._lock_key(entry)], token))

    # What those need who change an entry by hand

    @guarded(*ERRORS, urgent=True)
    def remove(self, entry: str, on_wait: OnWait) -> None:
        self._change(entry, on_wait, "UNLINK")

    @guarded(*ERRORS)
    def put_plain(self, entry: str, value: Any, timeout: float | None, on_wait: OnWait) -> bool:
        """Put a value where an entry may be, as it is, if nothing is there; tell whether it was.

        Who keeps near what was there, and has been evicted, is told in the same step.
        """
        lives = () if timeout is None else ("PX", ms(timeout))
        return bool(self._change(entry, on_wait, "SET", self.encode(value), "NX", *lives))

    @guarded(*ERRORS)
    def expire(self, entry: str, on_wait: OnWait, command: str, *when: int) -> bool:
        """Have an entry expire by ``PEXPIRE`` or ``PEXPIREAT``, or never; tell whether it does now.

        Who keeps it near for longer than that is told in the same step.
        """
        return bool(self._change(entry, on_wait, command, *when))

    # What writers need

    @guarded(*ERRORS, urgent=True)
    def fence(self, tags: Sequence[str], entries: Sequence[str], token: str) -> Told:
        keys = [*map(self.version_key, with_rows_alone(tags)), *entries]
        fences = self._fences(keys, token, settings.FENCE_TIMEOUT + settings.REPLICA_LAG)
        try:
            # Whoever finds the mark must find the fence as well, so that comes first.
            answers = self._answers([*fences, *self._marks(entries, token)])
        except BaseException:
            self._lose_lease()
            raise
        return self._told(answers[: len(fences)], keys)

    @guarded(*ERRORS, urgent=True)
    def deliver(self, delivery: Delivery) -> bool:
        keys = [*map(self.version_key, with_rows_alone(delivery.tags)), *delivery.entries]
        told, token = delivery.told, delivery.token
        again = ("again",) if delivery.is_fenced else ()
        fences = self._fences(keys, token, settings.REPLICA_LAG, *again)
        marks = self._marks(delivery.entries, f"~{token}")
        asking = self._answered(token, told)
        commands = [*marks, *fences, *asking, *self._unlinks(delivery.keys)]
        essential = len(commands)
        if delivery.counts:
            commands.append(self._counting(delivery.counts, delivery.last))
        try:
            # A server without memory to spare drops all the same, and only cannot count.
            answers = self._servers.ask_all(commands)
            unrefused(answers[:essential])
        except BaseException:
            self._lose_lease()
            raise
        lifted = len(marks) + len(fences)
        told = told.merged(self._told(answers[len(marks) : lifted], keys))
        self._wait(token, told, (answers[lifted] or ()) if asking else (), delivery.on_wait)
        return not any(isinstance(answer, Exception) for answer in answers[essential:])

    def _marks(self, entries: Sequence[str], mark: str) -> list[Command]:
        """Return the commands that put `mark` beside each of `entries`."""
        lasts = ms(MARK_TIMEOUT)
        return [script("put_mark", [self._mark_key(entry)], mark, lasts) for entry in entries]

    def _fences(self, keys: Sequence[str], token: str, lasts: float, *again: str) -> list[Command]:
        """Return the commands that drop `keys` and leave the fence `token` there while it `lasts`.

        In seconds; with none, they lift it. They tell who holds one of the keys near, but not
        `again` what that fence, which stands, has told them.
        """
        args = (token, ms(lasts) if lasts else 0, *self._telling(), *again)
        return [script("fence", group, *args) for group in self._together(keys)]

    def _unlinks(self, keys: Iterable[Any]) -> Iterator[Command]:
        for chunk in _chunks(keys):
            for group in self._together(chunk):
                yield ("UNLINK", *group)

    def _together(self, keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """Return `keys` in groups that one command may name."""
        return (keys,) if keys else ()

    @guarded(*ERRORS, urgent=True)
    def delete_patterns(self, patterns: Iterable[str]) -> int:
        deleted = 0
        for pattern in patterns:
            names = self._servers.scan(pattern, CHUNK)
            for chunk in _chunks(name for name in names if not self._is_own(spell(name))):
                deleted += sum(map(int, self._answers(list(self._unlinks(chunk)))))
        return deleted

    # What checks need

    def entries(self, prefix: str = "") -> Iterator[str]:
        """See `Store.entries`. Raises `PatternsNotSupported` if a KEY_FUNCTION hides the names."""
        above = self.entry_place("")
        if any(self.entry_place(name) != above + name for name in (prefix, "x")):
            raise PatternsNotSupported(
                f"The KEY_FUNCTION of the cache {self.alias!r} does not leave names as they are, "
                "so its entries cannot be listed."
            )
        keys = self._servers.scan(f"{escape_glob(above + prefix)}*", CHUNK)
        while chunk := self._take(keys):
            yield from (spell(key).removeprefix(above) for key in chunk)

    @guarded(*ERRORS)
    def _take(self, keys: Iterator[bytes]) -> list[bytes]:
        return list(islice(keys, CHUNK))


def _chunks(keys: Iterable[Any]) -> Iterator[list[Any]]:
    keys = iter(keys)
    while chunk := list(islice(keys, CHUNK)):
        yield chunk
