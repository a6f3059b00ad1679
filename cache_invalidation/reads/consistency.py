"""Comparing what is cached with what its function returns now, for functions that opted in."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from hashlib import blake2b
from random import random
from typing import Any, Final, Literal

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connections

from cache_invalidation.conf import settings
from cache_invalidation.connections import (
    in_transaction,
    is_open_for_driver,
    sees_snapshot,
    shielded,
)
from cache_invalidation.exceptions import CacheInvalidationError, StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.dependencies import Dependencies, collecting, hand_up
from cache_invalidation.reads.differences import Difference, first_difference
from cache_invalidation.reads.kept_calls import (
    Arguments,
    kept,
    read_back,
    unwrap,
    write_down,
)
from cache_invalidation.reads.read import Read
from cache_invalidation.reads.steps import Steps, awalk, walk
from cache_invalidation.reads.values import decode, encode
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, new_token
from cache_invalidation.tags import model_tag, table_of
from cache_invalidation.transactions.open_batches import batches

logger = logging.getLogger("cache_invalidation")

# Seconds that a write without a fence may need from its COMMIT to its delivery.
DELIVERY_WINDOW: Final = 0.1
TAGS_LOGGED: Final = 100

Verdict = Literal["fresh", "stale", "inconclusive"]


class Inner:
    """What a recomputation would find in the cache: each of it is computed, once.

    What is cached may be what is stale.
    """

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}

    def call(
        self, key: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return the value of `function` for `key`, as a read of its entry would."""
        if payload := self.payloads.get(key):
            return decode(payload, get_store())
        value = function(*args, **kwargs)
        self.keep(key, value)
        return value

    async def acall(
        self, key: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Do the same for a coroutine function."""
        if payload := self.payloads.get(key):
            return decode(payload, get_store())
        value = await function(*args, **kwargs)
        await sync_to_async(self.keep)(key, value)
        return value

    def find(self, key: str, default: Any) -> Any:
        """Return what was kept for `key`, or `default`."""
        payload = self.payloads.get(key)
        return decode(payload, get_store()) if payload else default

    def keep(self, key: str, value: Any) -> None:
        """Have `value` be found for `key` until the recomputation is over."""
        try:
            self.payloads[key] = encode(value, get_store())
        except Exception:  # noqa: BLE001 - then it is computed each time, as it always is
            self.payloads[key] = b""


#: The one of the recomputation that is running, if any.
recomputing: ContextVar[Inner | None] = ContextVar("cache_invalidation_recomputing", default=None)


class Check:
    """The comparison of one hit with the value that its function returns now.

    To be computed inside of `computing` and handed to `take`, or else given up with `fail`; then
    `conclude` comes to a `verdict`. `value` is what the reader is to get: what was cached, unless
    that is proven to be stale. Nothing of this counts as a read, and no error leaves it. The
    `subject` is what the log says it is about.
    """

    def __init__(self, read: Read, subject: str = "") -> None:
        self.read = read
        self.subject = subject or f"{read.name}()"
        self.value = read.value
        self.verdict: Verdict = "inconclusive"
        self._fresh: tuple[Any, bytes] | None = None
        self._difference: Difference | None = None
        self._inner = Inner()

    def is_possible(self, *, in_transactions: bool = True) -> bool:
        """Whether this thread sees what is committed now, and nothing else."""
        with suppress(Exception):
            opened = connections.all(initialized_only=True)
            return not (
                any(batch.has_written for each in opened for batch in batches(each))
                or any(each.needs_rollback or is_open_for_driver(each) for each in opened)
                or (not in_transactions and any(map(in_transaction, opened)))
                or sees_snapshot()
            )
        return False

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Keep apart what is computed inside: nothing cached is read, nothing recorded."""
        token = recomputing.set(self._inner)
        try:
            with collecting(Dependencies({}, storable=False)):
                yield
        finally:
            recomputing.reset(token)

    def take(self, value: Any) -> None:
        """Compare `value`, still inside of `computing`, since it may be lazy."""
        store = get_store()
        payload = encode(value, store)
        self._fresh = value, payload
        # What the serializer changes, it has changed in the cached value as well.
        self._difference = first_difference(self.read.value, decode(payload, store))

    def fail(self, error: Exception) -> None:
        """Give up because of `error`."""
        self._fresh = None
        if not isinstance(error, StoreUnavailable):
            message = "%s could not be computed again, to check its entry %r."
            logger.error(message, self.subject, self.read.key, exc_info=error)

    def conclude(self) -> Steps:
        """Come to the verdict, and act on it."""
        if self._fresh is None:
            return
        try:
            if self._difference is None:
                self.verdict = "fresh"
                counters.add("checked_hits")
                return
            if settings.CONSISTENCY == "commit":
                yield DELIVERY_WINDOW
            if self._is_still_cached():
                self._found_stale(*self._fresh, self._difference)
        except CacheInvalidationError:
            return  # The store is down, and serves nobody.
        except Exception:
            logger.exception("The entry %r could not be checked.", self.read.key)

    def _is_still_cached(self) -> bool:
        """Whether the entry is there and valid: if not, a write has come between."""
        versions = self.read.versions or {}
        found = get_store().lookup(self.read.entry, list(versions))
        return (
            found.entry is not None
            and found.entry.payload == self.read.payload
            and found.versions == versions
        )

    def _found_stale(self, value: Any, payload: bytes, difference: Difference) -> None:
        self.value, self.verdict = value, "stale"
        # What is computed around this gets a value whose dependencies nobody has recorded.
        hand_up({}, False)
        kinds = entity_types(self.read.versions or (), self.read.name)
        counters.add("checked_hits", "stale_hits", *(f"stale:{kind}" for kind in kinds))
        # The inner entries, too: one of them may be what is stale.
        with suppress(StoreUnavailable):
            store = get_store()
            places = {self.read.entry, *map(store.entry_place, self._inner.payloads)}
            on_wait = partial(counters.waited, self.read.name)
            store.deliver(Delivery(token=new_token(), entries=sorted(places), on_wait=on_wait))
        self._log(payload, difference)

    def _log(self, payload: bytes, difference: Difference) -> None:
        read, store = self.read, get_store()
        record = kept(read.payload, store)
        age = f"{max(0.0, time.time() - record.stored_at):.1f} s" if record else "unknown"
        logger.error(
            "%s was stale in the cache, and is dropped there. First difference: %s. "
            "Key: %r. Age: %s. Tags: %s. Cached: %s. Fresh: %s.",
            *(self.subject, difference, read.key, age, _spelled(dict(read.versions or {}))),
            *map(_fingerprint, (unwrap(read.payload), payload)),
        )


def is_chosen(share: float) -> bool:
    """Whether a hit is of the `share` that is checked."""
    return random() < share  # noqa: S311 - nobody gains anything from knowing


def check(
    read: Read,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    subject: str = "",
) -> Check:
    """Compare a hit with what `function` returns now."""
    found = Check(read, subject)
    if not found.is_possible():
        return found
    try:
        with found.computing(), unharmed():
            args, kwargs = anew(args, kwargs)
            found.take(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - the page has its value
        found.fail(error)
    walk(found.conclude())
    return found


async def acheck(
    read: Read, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Check:
    """Do the same for a coroutine function."""
    found = Check(read)
    # A transaction that was broken here could be mended in Django's thread only.
    if not await sync_to_async(found.is_possible)(in_transactions=False):
        return found
    try:
        with found.computing():
            args, kwargs = await sync_to_async(anew)(args, kwargs)
            value = await function(*args, **kwargs)
            await sync_to_async(found.take)(value)
    except Exception as error:  # noqa: BLE001 - the page has its value
        found.fail(error)
    await awalk(found.conclude())
    return found


@contextmanager
def unharmed() -> Iterator[None]:
    """Keep the transactions of this thread from being broken by what fails inside."""
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if in_transaction(connection):
                stack.enter_context(shielded(connection.alias))
        yield


def anew(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Return the arguments with instances fetched anew; raise what that raises."""
    return read_back(write_down(args, kwargs))


def entity_types(tags: Iterable[str], name: str) -> list[str]:
    """Return the labels of the models among `tags`, or `name` if there is none."""
    heads = {tag.partition(":")[0] for tag in tags}
    models = apps.get_models(include_auto_created=True)
    labels = {model_tag(model): table_of(model)._meta.label_lower for model in models}
    return sorted(labels[head] for head in heads & labels.keys()) or [name]


def _spelled(versions: dict[str, str | None]) -> str:
    spelled = [f"{tag}={version}" for tag, version in versions.items()]
    more = len(spelled) - TAGS_LOGGED
    return ", ".join(spelled[:TAGS_LOGGED]) + (f" and {more} more" if more > 0 else "")


def _fingerprint(payload: bytes) -> str:
    digest = blake2b(payload, digest_size=8).hexdigest()
    return f"{len(payload)} bytes, digest {digest}"
