"""Something that is cached, on its way: looked for along a trail, computed, kept where it belongs.

Pages and blocks are looked for and kept by this; they differ in what there is to look at.
"""

import logging
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads import unstorable
from cache_invalidation.reads.dependencies import (
    Dependencies,
    apart,
    collecting,
    hand_up,
    hand_up_all,
)
from cache_invalidation.reads.protocol import attempt, move
from cache_invalidation.reads.read import Outcome, Read
from cache_invalidation.reads.recorders import Sampled
from cache_invalidation.reads.storing import fail, finish, put
from cache_invalidation.reads.varying import NAMED, is_nameless
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.inputs.portraits import Opaque
from cache_invalidation.surfaces.inputs.trail import VARIES, Trail
from cache_invalidation.surfaces.inputs.variants import admits

logger = logging.getLogger("cache_invalidation")

#: Seconds that a step is kept at least: it is worth more than one entry.
STEP_LIFETIME: Final = 86_400.0

#: Why something is not stored, whatever it is; what comes in as an input has its own reasons.
REASONS: Final[Mapping[str, str]] = {
    **unstorable.REASONS,
    "unwatched": "it reads or writes what nobody watches: see EXCLUDE",
    "variants": "there are too many versions of it",
}


def told(name: str, about: Callable[[], str]) -> tuple[str | None, str]:
    """Return what `about` tells of something before it is looked for; or None and why it cannot.

    That is counted, as why `name` is not stored. Queries behind it are nobody's dependencies.
    Raises what else `about` raises.
    """
    try:
        with apart():
            return about(), ""
    except Opaque as error:
        reason = error.reason
        logger.debug("%s is not cached: %s.", name, error)
    except CacheInvalidationError:  # Settings that a system check has something to say about.
        reason = "settings"
    counters.add(f"unstored:{name}:{reason}")
    return None, reason


class Keeping:
    """One lookup of `read` along `trail`, and what came of it.

    After `attempt`, either `read.is_hit` is set; or the value has to be computed, inside of
    `computing`, with what is looked at noted in `inputs`, and handed to `keep`.
    """

    def __init__(self, read: Read, trail: Trail) -> None:
        self.read = read
        self.inputs = Inputs()
        self.trail = trail
        self._shape = trail.key
        self._dependencies: Dependencies | None = None

    @property
    def is_computed(self) -> bool:
        """Whether there was anything inside of `computing`."""
        return self._dependencies is not None

    def attempt(
        self, look: Callable[[Read], Outcome] | None = None
    ) -> Generator[float, None, None]:
        """Look for the value, as `protocol.attempt` does."""
        yield from attempt(self.read, look or self.trail.look)
        if self.read.is_hit and (varied := self.trail.varied()):
            hand_up({}, True, varied)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take note of what is read inside of the block; a value may be computed in several."""
        if self._dependencies is None:
            self._dependencies = self.read.dependencies()
        try:
            with collecting(self._dependencies):
                yield
        except BaseException:
            self.inputs.refuse("exception", REASONS["exception"])
            raise
        if _unwatched(self._dependencies):
            # Nor may anything be stored that this is a part of.
            self._dependencies.storable = False

    def hand_up(self) -> None:
        """Tell the computation that is running what the value depends on so far."""
        if self._dependencies is not None:
            hand_up_all(self._dependencies)

    def keep(self, value: Any, refusals: Mapping[str, str]) -> dict[str, str]:
        """Store what was computed where it belongs; return why not, which is counted.

        `refusals` are reasons that are known, those of `inputs` among them.
        """
        dependencies = self._dependencies
        if dependencies is None:
            return dict(refusals)
        reasons = dict(refusals)
        if not (reasons or self.read.storable):
            reasons = {"unavailable": REASONS["unavailable"]}
        if not reasons:
            reasons = self._store(value, dependencies)
        else:
            fail(self.read, dependencies, reasons)
        counters.add(*[f"unstored:{self.read.name}:{reason}" for reason in reasons])
        return reasons

    def _vary(self, varied: Mapping[str, str]) -> None:
        """Have what cached functions inside vary on be inputs, but for what always is one."""
        self.read.varies = frozenset(varied)
        for name in varied.keys() - NAMED.keys():
            if is_nameless(name):
                self.inputs.refuse("varies", f"{name} cannot be found by its name elsewhere")
            else:
                self.inputs.look_by(f"{VARIES}{name}", partial(varied.__getitem__, name))

    def _store(self, value: Any, dependencies: Dependencies) -> dict[str, str]:
        """Store the value, and what leads there."""
        self._vary(dependencies.varied)
        read, steps = self.read, self.trail.lead_to(self.inputs)
        reasons = dict(self.inputs.refusals)
        if not (reasons or admits(self._shape, self.trail.key, read.lifetime)):
            reasons = {"variants": REASONS["variants"]}
        if not reasons and (unwatched := _unwatched(dependencies)):
            reasons = {"unwatched": f"{REASONS['unwatched']}: {', '.join(unwatched)}"}
        if not reasons:
            try:
                move(read, self.trail.key)
            except CacheInvalidationError:
                # Where the lookup has ended is the place of something else.
                reasons = {"unavailable": REASONS["unavailable"]}
        if reasons:
            fail(read, dependencies, reasons)
            return reasons
        if dependencies.storable:
            for key, step in steps:
                put(read, key, step, max(STEP_LIFETIME, read.lifetime or 0))
        reason = finish(read, value, dependencies)
        return {} if reason is None else {reason: REASONS[reason]}


def _unwatched(dependencies: Dependencies) -> Collection[str]:
    """Return the models whose rows were read though nobody watches them, by their labels."""
    return dependencies.unwatched if isinstance(dependencies, Sampled) else ()
