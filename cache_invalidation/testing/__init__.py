"""For the tests of projects: what a block invalidates, and other rules for a while.

Nothing has to be committed for it. It works in a `TestCase` as well as in a `TransactionTestCase`,
whatever the cache is, and while it is down.
"""

from cache_invalidation.testing.assertions import assert_invalidates, assert_not_invalidates
from cache_invalidation.testing.capture import Captured, capture_invalidations
from cache_invalidation.testing.overriding import override_rules

__all__ = [
    "Captured",
    "assert_invalidates",
    "assert_not_invalidates",
    "capture_invalidations",
    "override_rules",
]
