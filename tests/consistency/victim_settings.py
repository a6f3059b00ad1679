"""Settings of a process that is started by a test and shares its servers."""

import os

from tests.settings import *  # noqa: F403

CACHE_INVALIDATION = {
    "FENCE_TIMEOUT": float(os.environ.get("FENCE_TIMEOUT", "10")),
    "CONSISTENCY": os.environ.get("CONSISTENCY", "strict"),
}
