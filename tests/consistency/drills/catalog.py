"""Every drill there is, and how each of them is run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from example_project.servers import ValkeyServer
from example_project.topologies import ClusterServers, SentinelGroup
from tests.consistency.drills import backlog, kills, outages, topologies
from tests.consistency.drills.course import Phase
from tests.consistency.drills.pace import Pace
from tests.consistency.drills.report import Report
from tests.consistency.drills.stage import Stage, waiting
from tests.surfaces.by_hand import GLOBS, tracked


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A fault, and what it is allowed to do.

    `fault` returns when the fault is over. `is_outage`: every process has to notice it, or the
    drill has shown nothing. `may_refuse`: writes may fail, because of the database or on purpose.
    `restores_keys`: plain keys may be back that were deleted before, which nobody promises.
    `tracked`: some of what is cached is cached by hand, and no key is plain.
    """

    name: str
    fault: Callable[[Stage, Any], None]
    server: Callable[[], Any] = ValkeyServer
    cache: Callable[[Any], dict[str, Any]] = lambda server: {"LOCATION": server.url}
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_outage: bool = True
    may_refuse: bool = False
    restores_keys: bool = False
    tracked: bool = False

    @property
    def title(self) -> str:
        return (self.fault.__doc__ or "").splitlines()[0]


_ALL: Final = [
    Drill(name="killed", fault=outages.killed),
    # It is back so soon that not everybody has to notice that it was away.
    Drill(name="old-snapshot", fault=outages.old_snapshot, is_outage=False, restores_keys=True),
    Drill(name="frozen", fault=outages.frozen),
    Drill(name="refused", fault=outages.refused),
    Drill(name="black-hole", fault=outages.black_hole, server=outages.TcpServer),
    Drill(name="cut-off", fault=outages.cut_off, is_outage=False),
    Drill(name="pressed", fault=outages.pressed, is_outage=False),
    Drill(
        name="abort",
        fault=outages.refused,
        settings={"ON_STORE_FAILURE": "abort"},
        may_refuse=True,
    ),
    Drill(
        name="failover",
        fault=topologies.failover,
        server=SentinelGroup,
        cache=topologies.sentinel_cache,
        restores_keys=True,
    ),
    Drill(
        name="node-down",
        fault=topologies.node_down,
        server=ClusterServers,
        cache=topologies.cluster_cache,
    ),
    Drill(
        name="cluster-failover",
        fault=topologies.cluster_failover,
        server=partial(ClusterServers, replicas=1),
        cache=topologies.cluster_cache,
        restores_keys=True,
    ),
    Drill(name="writers", fault=kills.writers),
    Drill(name="commits", fault=kills.commits, is_outage=False, may_refuse=True),
    Drill(name="backlog", fault=backlog.drained, is_outage=False),
    Drill(name="flood", fault=backlog.flooded),
]

# Where what was stored comes back, or may not be trusted. Nothing of it comes back here.
_TRACKED: Final = [
    replace(drill, name=f"{drill.name}-tracked", tracked=True, restores_keys=False)
    for drill in _ALL
    if drill.name in ("old-snapshot", "cluster-failover", "writers")
]

DRILLS: Final[Mapping[str, Drill]] = {drill.name: drill for drill in [*_ALL, *_TRACKED]}


def run(drill: Drill, pace: Pace, sabotage: str | None = None) -> Report:
    """Run one drill on servers of its own and the database that is connected."""
    with drill.server() as server:
        settings = {**pace.settings, **drill.settings}
        with Stage(pace, caches(drill, server, pace), settings, sabotage) as stage:
            stage.warm_up()
            with stage.fault():
                drill.fault(stage, server)
            stage.rest()
            stage.end()
            stale, plain = stage.call("tests.consistency.drills.roles.left_behind")
            return _report(drill, stage, stale, plain)


def caches(drill: Drill, server: Any, pace: Pace) -> dict[str, Any]:
    """Return Django's setting for the cache of a drill."""
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "KEY_PREFIX": "drill",
        **drill.cache(server),
    }
    limits = {"SOCKET_TIMEOUT": pace.time_out, "SOCKET_CONNECT_TIMEOUT": pace.time_out}
    default = {**cache, "OPTIONS": {**limits, **cache.get("OPTIONS", {})}}
    options = {"TRACK": [*GLOBS, "drill:*"], "BLIND": ["drill:*"]}
    return {"default": tracked(default, **options) if drill.tracked else default}


def _report(drill: Drill, stage: Stage, stale: list[tuple[str, str]], plain: list[str]) -> Report:
    counts = list(stage.course.counts)
    report = Report(
        name=drill.name,
        title=drill.title,
        requests=sum(each.requests for each in counts),
        writes=sum(each.writes for each in counts),
        failed=sum(each.failed for each in counts),
        refused=sum(each.refused for each in counts),
        stale_before=sum(each.stale[Phase.BEFORE] for each in counts),
        stale_meanwhile=sum(each.stale[Phase.DURING] for each in counts),
        stale_after=sum(each.stale[Phase.AFTER] for each in counts),
        lost=len(stale) + (0 if drill.restores_keys else len(plain)),
        kept=stage.kept,
        left=waiting(),
        seconds=stage.seconds,
        slowest=max(each.slowest for each in counts),
        slow=sum(each.slow for each in counts),
        notes=stage.notes,
        broken=stage.broken,
    )
    if report.failed:
        report.notes.append(f"The last error: {stage.last_error()}")
    if report.refused:
        kind = stage.last_error().partition("(")[0]
        report.notes.append(f"{report.refused} writes were refused, the last with {kind}.")
    if report.slow:
        slow = (
            f"{report.slow} of {report.requests:,} requests took {stage.pace.time_out:g} s or more,"
        )
        report.notes.append(f"{slow} which is the time-out of the sockets.")
    if drill.restores_keys and plain:
        report.notes.append(f"{len(plain)} plain keys are back that had been deleted.")
    report.broken += _shown_nothing(drill, stage, report)
    report.broken += report.requirements(may_refuse=drill.may_refuse)
    return report


def _shown_nothing(drill: Drill, stage: Stage, report: Report) -> Iterator[str]:
    """Yield what should have happened, so that the rest means something."""
    if drill.is_outage and not all(reader.outages for reader in stage.readers):
        yield "Not every process has noticed."
    if drill.may_refuse and not report.refused:
        yield "No write was refused."
