"""What a write would make stale, and by which rule; said without doing anything.

Rows are read, without locks. Nothing is written, neither to the database nor to the store.
"""

from cache_invalidation.explain.explanation import Explanation, RuleEffect
from cache_invalidation.explain.statements import explain_sql
from cache_invalidation.explain.targets import explain

__all__ = ["Explanation", "RuleEffect", "explain", "explain_sql"]
