"""`capture_invalidations`: what a block has made stale, committed or not."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from asgiref.sync import sync_to_async
from django.utils.asyncio import async_unsafe

from cache_invalidation.conf import settings
from cache_invalidation.tags import collapse
from cache_invalidation.testing.journal import Journal
from cache_invalidation.transactions.batch import Batch

SHOWN: Final = 50  # names in a text


@dataclass(kw_only=True)
class Captured:
    """What was invalidated; complete once its block has ended, and empty until then.

    It is false if that is nothing at all. Its text is a list.
    """

    #: Tags, as they are dropped: above ``ROW_TAG_LIMIT``, family tags stand for their families.
    tags: set[str] = field(default_factory=set)

    #: Plain cache keys, and patterns of such.
    keys: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)

    #: What the `key()` of cached functions returns for the calls that were dropped one by one,
    #: by `invalidate()` of the function.
    entries: set[str] = field(default_factory=set)

    #: How often something happened to an entity type, and by which operation, event or signal.
    entities: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.tags or self.keys or self.patterns or self.entries)

    def __str__(self) -> str:
        lines = list(self._lines())
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"... and {len(lines) - SHOWN} more"]
        return "\n".join(lines)

    def _lines(self) -> Iterator[str]:
        for kind, names in (
            ("tag", self.tags),
            ("key", self.keys),
            ("pattern", self.patterns),
            ("entry", self.entries),
        ):
            for name in sorted(names):
                yield f"{kind:<8}{name}"


class Capture:
    """A block, with ``async with`` in a coroutine, that fills the `Captured` it gives.

    Before it, `prepare` is called. At its end, unless that is an exception, `judge` is, which
    raises `AssertionError` if what was captured is not as it should be.
    """

    def __init__(
        self,
        using: str | None,
        prepare: Callable[[], None] = lambda: None,
        judge: Callable[[Captured], None] = lambda captured: None,
    ) -> None:
        self.using = using
        self.prepare = prepare
        self.judge = judge

    @async_unsafe("The transactions of a coroutine are in another thread: use `async with`.")
    def __enter__(self) -> Captured:
        self.prepare()
        self._captured = Captured()
        self._journal = Journal()
        self._journal.__enter__()
        return self._captured

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._journal.tell_subscribers()
        finally:
            self._journal.__exit__()
        self._fill(self._captured, self._journal)
        if error is None:
            self.judge(self._captured)

    async def __aenter__(self) -> Captured:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await sync_to_async(self.__exit__)(kind, error, traceback)

    def _fill(self, captured: Captured, journal: Journal) -> None:
        tags: defaultdict[Batch, set[str]] = defaultdict(set)
        for batch, whole in journal.effective():
            if self.using not in (None, batch.alias):
                continue
            parts = journal.parts(batch)  # They count by themselves.
            tags[whole] |= batch.tags.difference(*(part.tags for part in parts))
            captured.keys |= batch.keys.difference(*(part.keys for part in parts))
            captured.patterns |= batch.patterns.difference(*(part.patterns for part in parts))
            captured.entries |= batch.entries.difference(*(part.entries for part in parts))
            captured.entities += batch.entities - sum((p.entities for p in parts), Counter())
            captured.causes += batch.causes - sum((p.causes for p in parts), Counter())
        for together in tags.values():
            captured.tags |= collapse(together, settings.ROW_TAG_LIMIT)


def capture_invalidations(using: str | None = None) -> Capture:
    """Return a block that gives a `Captured` of what is invalidated in it.

    That is what was delivered in this process, and what the open transactions of this thread have
    collected in the block, which their COMMIT would deliver. What was rolled back is not in it, nor
    what was written before the block. With `using`, only writes to that database count.

    Subscribers of events that wait for COMMIT are told at the end of the block, and not again at
    COMMIT. A delivery that fails counts like any other. In a coroutine, use ``async with``; there,
    ``with`` raises `SynchronousOnlyOperation`.
    """
    return Capture(using)
