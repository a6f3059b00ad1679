"""The scripts do what `model` says: each step that the exploration takes, on a real server."""

import json
from hashlib import sha1
from typing import Any

import pytest
import redis

from cache_invalidation.stores.redis.scripts import script
from cache_invalidation.stores.redis.store import RedisStore
from tests.near.exploration import Explorer
from tests.near.model import Holder, Item, Store, Told

NEAR = "model:n:"
ENTRY, MARK, TAG = "model:entry", "model:mark", "model:tag"
LONG = 10**7  # ms

Names = dict[str, Any]


def name_of(holder: Holder) -> str:
    return f"{holder[0]}-{holder[1]}.250"


def holder_of(name: str) -> Holder:
    process, joined = name.removesuffix(".250").split("-")
    return int(process), int(joined)


def epoch_of(text: str, before: Store) -> int:
    """Return the number of an epoch; one that is new is the next."""
    name = text[1:].partition("@")[0]
    return before.epochs + 1 if "." in name else int(name or 0)


class Real:
    """The steps of the model, each by the script that takes it.

    What is dropped is the tag, or the entry if that is the `key`; its holders are in the register.
    """

    def __init__(self, client: redis.Redis, key: str = TAG) -> None:
        self.client: Any = client
        self.key = key
        self.register = f"{NEAR}r:{sha1(key.encode()).hexdigest()}"

    def put(self, store: Store) -> None:
        """Put what the model says into the server."""
        client = self.client
        client.flushdb()
        if isinstance(store.version, int):
            client.set(TAG, f"v{store.version}")
        elif store.version is not None:
            client.set(TAG, "".join(f"!{token}@{self.deadline}" for token in sorted(store.version)))
        if store.entry is not None:
            client.set(ENTRY, json.dumps(store.entry))
        if store.epoch:
            client.set(f"{NEAR}e", f"{'-' if store.epoch < 0 else '+'}{abs(store.epoch)}@x")
        for holder, stamp in store.holders:
            client.hset(f"{NEAR}h", name_of(holder), stamp)
        for holder, stamp in store.register:
            client.hset(self.register, name_of(holder), stamp)
        for holder, items in store.queues:
            for stamp, token in items:
                client.rpush(f"{NEAR}q:{name_of(holder)}", json.dumps([stamp, token, [self.key]]))
        for token, holders in store.answers:
            spelled = [f"{stamp} {name_of(holder)}" for holder, stamp in sorted(holders)]
            client.rpush(f"{NEAR}a:{token}", *spelled)

    @property
    def deadline(self) -> int:
        seconds, _ = self.client.time()
        return int(seconds) * 1000 + LONG

    def found(self, before: Store) -> Store:
        """Return what is in the server, as the model says it."""
        client = self.client
        version = client.get(TAG)
        entry, epoch = client.get(ENTRY), (client.get(f"{NEAR}e") or b"").decode()
        registered = client.hgetall(self.register)
        queues, answers = {}, {}
        for key in map(bytes.decode, client.keys(f"{NEAR}q:*")):
            items = [json.loads(item) for item in client.lrange(key, 0, -1)]
            assert all(keys == [self.key] for _, _, keys in items)
            holder = holder_of(key.removeprefix(f"{NEAR}q:"))
            queues[holder] = tuple((stamp, token) for stamp, token, _ in items)
        for key in map(bytes.decode, client.keys(f"{NEAR}a:*")):
            pairs = [answer.decode().split(" ") for answer in client.lrange(key, 0, -1)]
            answers[key.removeprefix(f"{NEAR}a:")] = frozenset(
                (holder_of(name), int(stamp)) for stamp, name in pairs
            )
        number = epoch_of(epoch, before)
        return Store(
            version=self._version(version),
            entry=None if entry is None else tuple(json.loads(entry)),
            epoch=-number if epoch.startswith("-") else number,
            epochs=max(before.epochs, number),
            holders=self._stamps(client.hgetall(f"{NEAR}h")),
            register=self._stamps(registered),
            queues=tuple(sorted(queues.items())),
            answers=tuple(sorted(answers.items())),
        )

    def _version(self, found: bytes | None) -> Any:
        if found is None:
            return None
        text = found.decode()
        if text[0] == "!":
            return frozenset(part.split("@")[0] for part in text[1:].split("!"))
        return int(text[1:])

    def _stamps(self, found: dict[bytes, bytes]) -> Any:
        stamps = {holder_of(name.decode()): int(stamp) for name, stamp in found.items()}
        return tuple(sorted(stamps.items()))

    def run(self, name: str, keys: list[str], *args: Any) -> Any:
        return self.client.execute_command(*script(name, keys, *args))

    # The steps

    def join(self, store: Store, holder: Holder) -> Any:
        self.run("renew", [], NEAR, name_of(holder), 0, "x", 1, 0)

    def renew(self, store: Store, holder: Holder, confirmed: int, given_up: int = 0) -> Any:
        parted = (self.key, given_up) if given_up else ()
        answer = self.run("renew", [], NEAR, name_of(holder), confirmed, "x", 0, 0, *parted)
        if not answer:
            return None
        _, granted, *items = answer
        pairs = [json.loads(item)[:2] for item in items]
        told: list[Item] = [(stamp, token) for stamp, token in pairs]
        return bool(granted), tuple(told)

    def look(self, store: Store, holder: Holder | None) -> Any:
        keys = [ENTRY, MARK, TAG]
        if holder is None:
            answer = self.run("lookup", keys, "", 0)
        else:
            answer = self.run("hold", keys, "", 0, NEAR, name_of(holder))
        entry, (_, version), _, stamp, _ = answer
        version = self._version(version)
        stored, value = (None, None) if entry is None else json.loads(entry)
        return (value if stored == version else None, version, stamp)

    def mint(self, store: Store, version: int) -> Any:
        there = self.client.set(TAG, f"v{version}", nx=True, get=True)
        return version if there is None else self._version(there)

    def fill(self, store: Store, holder: Holder | None, version: int, value: int) -> Any:
        args = (json.dumps([version, value]), LONG, LONG)
        keys, name = [ENTRY, MARK, TAG], "" if holder is None else name_of(holder)
        answer = self.run("fill_and_hold", keys, *args, name, "", f"v{version}", NEAR)
        return answer - 1 if answer else None

    def overwrite(
        self, store: Store, token: str, holder: Holder | None, version: int, value: int
    ) -> Any:
        args = (json.dumps([version, value]), LONG, LONG)
        keys, name = [ENTRY, MARK, TAG], "" if holder is None else name_of(holder)
        telling = (NEAR, token, "x", 1)
        answer = self.run("fill_and_tell", keys, *args, name, "", f"v{version}", *telling)
        stamp, told = answer
        return self._told(store, told), stamp - 1

    def fence(self, store: Store, token: str) -> Any:
        return self._told(store, self.run("fence", [TAG], token, LONG, NEAR, "x", 1))

    def lift(self, store: Store, token: str, is_blind: bool = False) -> Any:
        again = () if is_blind else ("again",)
        return self._told(store, self.run("fence", [TAG], token, 0, NEAR, "x", 1, *again))

    def _told(self, store: Store, answer: list[Any]) -> Told:
        if not answer:
            return Told()
        epoch, *pairs = answer
        holders = zip(pairs[::2], pairs[1::2], strict=True)
        told = {holder_of(name.decode()): stamp for name, stamp in holders}
        return Told(tuple(told.items()), epoch_of(epoch.decode(), store))

    def bury(self, store: Store, holder: Holder, stamp: int) -> Any:
        return bool(self.run("bury", [], NEAR, name_of(holder), stamp))

    def bury_silent(self, store: Store, holder: Holder) -> Any:
        self.client.hset(f"{NEAR}b", name_of(holder), "1")
        return bool(self.run("bury", [], NEAR, name_of(holder), 0, "1"))

    def leave(self, store: Store, holder: Holder) -> Any:
        self.run("leave", [], NEAR, name_of(holder))

    def lapse(self, store: Store) -> Any:
        self.client.delete(TAG)

    def identify(self, store: Store) -> Any:
        self.run("identify", ["model:root"], "y", NEAR)

    def settle(self, store: Store, epoch: int) -> Any:
        self.run("settle", [f"{NEAR}e"], f"-{epoch}@x")


@pytest.mark.parametrize(
    "world",
    [
        {"processes": (1,), "losses": 1},
        {"processes": (1, 1), "writers": 1},
        {"processes": (1,), "writers": 1, "blinds": 1, "leaves": 1, "burials": 1, "lapses": 1},
        {"processes": (1,), "losses": 1, "overwrite": True, "own": 0},
        {"processes": (1, 1), "writers": 1, "overwrite": True},
    ],
    ids=str,
)
def test_each_script_does_what_the_model_says(world, redis_client):
    overwrites = world.get("overwrite", False)
    explorer, real = Explorer(), Real(redis_client, ENTRY if overwrites else TAG)
    explorer.run(**world)
    steps = {"overwrite"} if overwrites else {"fence", "lift", "fill"}
    assert {name for name, _, _ in explorer.steps} >= {"look", "renew", *steps}
    for (name, store, args), (answer, after) in explorer.steps.items():
        real.put(store)
        said = getattr(real, name)(store, *args)
        if name in ("fence", "lift"):
            said, answer = in_order(said), in_order(answer)
        elif name == "overwrite":
            said, answer = (in_order(said[0]), said[1]), (in_order(answer[0]), answer[1])
        found = real.found(store)
        assert (said, found) == (answer, after), (name, store, args)


def in_order(told: Told) -> Told:
    return told._replace(holders=tuple(sorted(told.holders)))


@pytest.mark.usefixtures("in_use")
def test_the_store_sends_what_was_tried_here():
    assert RedisStore("default")._near.startswith("ci:n:")
