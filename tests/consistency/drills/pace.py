"""How long a drill takes, and how patient the package is in it.

Whatever a drill needs to happen it waits for, on a busy machine for longer. These are the least.
"""

from dataclasses import dataclass
from typing import Any, Final

from tests.stores.steps import PATIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """All in seconds, but for the numbers of rows and rounds."""

    fault: float  # how long a fault lasts, if it does not say itself
    patience: float  # how long everything may take to be back to normal
    after: float  # how long the load goes on after everything is back to normal
    time_out: float  # of the sockets
    retry_interval: float
    fence_timeout: float
    rounds: int  # of what is done several times
    backlog: int  # rows in the outbox, where that is what the drill is about

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the package."""
        return {"RETRY_INTERVAL": self.retry_interval, "FENCE_TIMEOUT": self.fence_timeout}


# For people, with the settings that projects have by default.
FULL: Final = Pace(
    fault=5.0,
    patience=120.0,
    after=3.0,
    time_out=1.0,
    retry_interval=1.0,
    fence_timeout=10.0,
    rounds=4,
    backlog=100_000,
)

# For the tests.
QUICK: Final = Pace(
    fault=0.4,
    patience=PATIENCE,
    after=0.2,
    time_out=1.0,
    retry_interval=0.3,
    fence_timeout=5.0,
    rounds=1,
    backlog=3_000,
)
