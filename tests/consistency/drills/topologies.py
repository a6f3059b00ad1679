"""Faults of caches that are made of several servers."""

import signal
from typing import Any

from example_project.topologies import PATIENT, ClusterServers, SentinelGroup, wait_for
from tests.consistency.drills.stage import Stage


def sentinel_cache(group: SentinelGroup) -> dict[str, Any]:
    return {
        "LOCATION": f"redis://{group.service}/0",
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": [("127.0.0.1", group.sentinel.port)],
        },
    }


def cluster_cache(cluster: ClusterServers) -> dict[str, Any]:
    return {
        "LOCATION": cluster.urls,
        "OPTIONS": {"CLIENT_CLASS": "cache_invalidation.stores.redis.cluster.ClusterClient"},
    }


def failover(stage: Stage, group: SentinelGroup) -> None:
    """The primary killed, and a replica promoted by Sentinel that has missed the last writes."""
    replica = group.replica.process
    assert replica is not None
    replica.send_signal(signal.SIGSTOP)
    group.primary.ask("CLIENT", "KILL", "TYPE", "replica")
    stage.go_on(stage.pace.fault / 2)
    group.primary.kill()
    replica.send_signal(signal.SIGCONT)
    stage.hush()
    stage.everybody_reads()
    group.wait_for_failover()
    if not group.replica.ask("DBSIZE"):
        stage.broken.append("The replica was empty.")


def node_down(stage: Stage, cluster: ClusterServers) -> None:
    """One node of a cluster killed, while the others go on, and started anew."""
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    node = cluster.nodes[0]
    for _ in range(stage.pace.rounds):
        node.kill()
        cluster.notice_failures()
        stage.go_on(stage.pace.fault)
        node.start()
        cluster.wait_until_ok()
        cluster.notice_failures(PATIENT)


def cluster_failover(stage: Stage, cluster: ClusterServers) -> None:
    """A primary of a cluster killed, and its replica promoted that has missed the last writes."""
    primary, replica = cluster.shards[0]
    assert replica.process is not None
    replica.process.send_signal(signal.SIGSTOP)
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    stage.go_on(stage.pace.fault / 4)
    primary.kill()
    replica.process.send_signal(signal.SIGCONT)
    stage.hush()
    stage.everybody_reads()
    cluster.notice_failures()
    wait_for(lambda: replica.ask("ROLE")[0] == b"master")
    cluster.wait_until_ok([node for node in cluster.nodes if node is not primary])
    cluster.notice_failures(PATIENT)
    if not replica.ask("DBSIZE"):
        stage.broken.append("The replica was empty.")
