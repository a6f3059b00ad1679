"""What a server says of itself.

A server that was restarted from a snapshot, or a replica that was promoted, may hold versions and
entries from before an invalidation that it never saw. So the root version carries the *identity*
of the server under which it was minted, and a root version that was minted under another one is
not valid, and neither is any entry. `identity` changes with each restart and each promotion.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from cache_invalidation.stores.messages import Condition

MINIMUM: Final = {"redis": (7, 0), "valkey": (7, 2)}


def digest(*texts: str) -> str:
    """Return 64 bits of what stands for `texts`: enough to tell servers apart."""
    return blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Server:
    """What a server says of itself; nothing at all if it may not be asked."""

    identity: str = ""  # "" if it may not be asked, or does not say
    product: str = ""
    version: tuple[int, ...] = ()
    is_cluster_node: bool = False
    is_replica: bool = False
    eviction: str = ""
    memory_limit: int = 0

    @property
    def condition(self) -> Condition:
        """What of this is of interest to those who run it."""
        return Condition(
            problem=self.problem,
            eviction=self.eviction,
            memory_limit=self.memory_limit,
            is_replica=self.is_replica,
        )

    @property
    def problem(self) -> str | None:
        """Why this server cannot be used, or None if it can."""
        if not self.product or self.version >= MINIMUM[self.product]:
            return None
        found = f"{self.product.title()} {'.'.join(map(str, self.version))}"
        return f"Redis 7.0 or Valkey 7.2 is needed, or newer; the server is {found}"

    def learn(self, info: str) -> None:
        """Take over what the server says in ``INFO server`` and ``INFO replication``."""
        facts = _facts(info)
        self.product = "valkey" if "valkey_version" in facts else "redis"
        version = facts.get(f"{self.product}_version", "")
        self.version = tuple(map(int, re.findall(r"\d+", version)[:3]))
        self.is_cluster_node = "cluster" in (facts.get("server_mode"), facts.get("redis_mode"))
        self.is_replica = facts.get("role") == "slave"
        # The first is new after a restart; the second after a promotion, too. A server that was
        # demoted and promoted again without a restart may lack what was written meanwhile.
        names = facts.get("run_id", ""), facts.get("master_replid", "")
        self.identity = digest(*names) if any(names) else ""

    def learn_memory(self, info: str) -> None:
        """Take over what the server says in ``INFO memory``."""
        facts = _facts(info)
        self.eviction = facts.get("maxmemory_policy", "")
        self.memory_limit = int(facts.get("maxmemory", "0"))


def _facts(info: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
