"""System checks: what a newcomer can get wrong, said before it does harm.

They do not raise, whatever is wrong elsewhere, and need no database but for those of `databases`
and `schema`.
The server of the cache is asked once, by `server`.
"""

from cache_invalidation.checks import (  # noqa: F401 - they register themselves
    cache,
    databases,
    functions,
    observers,
    pages,
    project,
    queries,
    rules,
    schema,
    server,
    settings,
    templates,
    tracking,
)
