"""What a running computation turns out to depend on, handed up from the inner to the outer one."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from time import perf_counter
from types import MappingProxyType
from typing import Final

from cache_invalidation.context import during
from cache_invalidation.observers import Work, doing
from cache_invalidation.observing.watcher import Recorder, journal_now, recorder
from cache_invalidation.stores.messages import Version, Versions

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Dependencies:
    """Tags, with the versions they had before anything that depends on them was read.

    `storable` turns False for good once something was read that must not be stored, or one tag
    was met with two versions, which means that it was invalidated meanwhile. `varied` is what
    inner computations are cached for besides their arguments, by name. `conditions` are versions
    under which it may be stored, and on which it does not depend afterwards. `recorder` is told of
    the queries of the computation itself. `seconds` is how long that took until now, what it has
    called included.
    """

    recorder: Recorder | None = None

    # Of what is computed; "" if nobody has to know.
    name = ""

    # Is whatever is read a dependency, as if it had been declared?
    finds_out = False

    def __init__(self, versions: Versions, storable: bool) -> None:
        self.versions: dict[str, Version] = dict(versions)
        self.storable = storable
        self.varied: dict[str, str] = {}
        self.conditions: dict[str, Version] = {}
        self.seconds = 0.0

    def absorb(
        self,
        versions: Versions,
        storable: bool,
        varied: Mapping[str, str] = NOTHING,
        conditions: Versions = NOTHING,
    ) -> None:
        """Depend on what an inner computation depends on, too.

        Threads that share a computation may do so at the same time: the first version of a tag
        stays, and what is not storable does not become so again.
        """
        if not (storable and self._agree(versions, conditions)):
            self.storable = False
        for name, value in varied.items():
            self.varied.setdefault(name, value)

    def _agree(self, versions: Versions, conditions: Versions = NOTHING) -> bool:
        """Take versions in; tell whether they are those that were sampled before, where some were.

        Another thread may have sampled them meanwhile, and read what is older than this. What is a
        condition of one query may be what the value depends on by another: it is one tag.
        """
        agreed = _take_in(versions, self.versions, self.conditions)
        return (not conditions or _take_in(conditions, self.conditions, self.versions)) and agreed


def _take_in(told: Versions, mine: dict[str, Version], others: Versions) -> bool:
    agreed = True
    for tag, version in told.items():
        if not mine.setdefault(tag, version) == version == others.get(tag, version):
            agreed = False  # The others have to be taken in all the same.
    return agreed


_NOBODY: Final = nullcontext()

#: What collects the dependencies of what is being computed.
running: ContextVar[Dependencies | None] = ContextVar("cache_invalidation_running", default=None)


def hand_up(
    versions: Versions,
    storable: bool,
    varied: Mapping[str, str] = NOTHING,
    conditions: Versions = NOTHING,
) -> None:
    """Tell the computation that is running, if any, what the value it gets depends on.

    And what it is for, if that is more than what it was asked for; and if it has just been
    computed, under which conditions what it is a part of may be stored.
    """
    outer = running.get()
    if outer is not None:
        outer.absorb(versions, storable, varied, conditions)
    unit = journal_now()
    if isinstance(unit, Dependencies):
        unit.absorb(versions, storable, conditions=conditions)


def hand_up_all(found: Dependencies) -> None:
    """Hand up what was just computed with the dependencies `found`, stored or not."""
    hand_up(found.versions, found.storable, found.varied, found.conditions)


def is_declared() -> bool:
    """Whether a computation is running that says itself on what its value depends."""
    found = running.get()
    return found is not None and not found.finds_out


@contextmanager
def collecting(dependencies: Dependencies | None, work: Work = "compute") -> Iterator[None]:
    """Have everything that is read inside of the block handed up to `dependencies`, if any.

    Observers are told that this `work` is done for it.
    """
    told = None if dependencies is None else dependencies.recorder
    name = "" if dependencies is None else dependencies.name
    started = perf_counter()
    try:
        with doing(work, name), during(running, dependencies), during(recorder, told):
            yield
    finally:
        if dependencies is not None:
            dependencies.seconds += perf_counter() - started


def apart() -> AbstractContextManager[None]:
    """Keep what is read inside of the block from being anybody's dependency."""
    if running.get() is None and recorder.get() is None:
        return _NOBODY  # As in all lookups of what nothing cached is around.
    return collecting(None)
