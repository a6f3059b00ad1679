"""Ways to break the package on purpose, each in every process of a drill, which has to tell."""

from math import inf
from threading import Event
from typing import Any, Final

from cache_invalidation.delivery.outbox import draining, rows
from cache_invalidation.reads import protocol
from cache_invalidation.stores import breaker, recovery
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.near import holding
from cache_invalidation.stores.near.memory import Lease
from cache_invalidation.stores.near.waiting import NOBODY
from cache_invalidation.stores.redis.near import RedisNear
from cache_invalidation.stores.redis.server import Server
from cache_invalidation.stores.redis.store import RedisStore
from tests.consistency.drills.course import Course, World

READS: Final = 50  # of each reader: enough to meet what is stale


def nothing_is_delivered_on_recovery(course: Course) -> None:
    recovery._steps.clear()


def readers_trust_what_has_not_caught_up(course: Course) -> None:
    admits, (catch_up,) = breaker.Breaker.admits, recovery._steps

    def late(deadline: float | None, stopped: Event) -> bool:
        before = course.reads()
        while not course.have_all_read(READS, before) and not course.stop.wait(0.02):
            pass
        return catch_up(deadline, stopped)

    breaker.Breaker.admits = lambda self, *, urgent: admits(self, urgent=True)  # type: ignore[method-assign]
    recovery._steps[:] = [late]


def a_restart_goes_unnoticed(course: Course) -> None:
    learn = Server.learn

    def know_nothing(self: Any, info: str) -> None:
        learn(self, info)
        self.identity = "always the same"

    Server.learn = know_nothing  # type: ignore[method-assign]
    # Done where something is left in the outbox, which would make up for it.
    Store.drop_everything = lambda *args: None  # type: ignore[method-assign]


def no_fence_is_raised(course: Course) -> None:
    RedisStore.fence = lambda *args: NOBODY  # type: ignore[method-assign]


def what_fails_is_forgotten(course: Course) -> None:
    module: Any = rows
    module.keep = lambda *args, **kwargs: None
    Store.distrust = lambda *args, **kwargs: None  # type: ignore[method-assign]
    # Done where the outbox cannot be looked at in time, which would make up for it.
    Store.drop_everything = lambda *args: None  # type: ignore[method-assign]


def drainers_do_not_lock(course: Course) -> None:
    module: Any = draining
    locked = module._locked
    module._locked = lambda *args: _unlocked(locked(*args))


def _unlocked(found: Any) -> Any:
    found.query.select_for_update = False
    return found


def readers_see_that_the_cache_fails(course: Course) -> None:
    module: Any = protocol
    module.CacheInvalidationError = ZeroDivisionError


def no_writer_waits(world: World) -> None:
    RedisNear._wait = lambda *args: None  # type: ignore[method-assign]


def what_is_queued_is_not_read(world: World) -> None:
    renew = RedisNear.renew

    def granted(*args: Any, **kwargs: Any) -> Any:
        answer = renew(*args, **kwargs)
        return answer and answer._replace(is_granted=True, items=[])

    RedisNear.renew = granted  # type: ignore[method-assign]


def what_was_lost_is_not_waited_for(world: World) -> None:
    told = RedisNear._told
    RedisNear._told = lambda *args: told(*args)._replace(epoch="")  # type: ignore[method-assign]


def leases_do_not_end(world: World) -> None:
    class Endless(Lease):
        __slots__ = ()

        @property
        def until(self) -> float:
            return inf if self.holder else 0.0

        @until.setter
        def until(self, moment: float) -> None:
            pass

    module: Any = holding
    module.Lease = Endless
