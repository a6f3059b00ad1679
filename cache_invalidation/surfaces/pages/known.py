"""What Django keeps on a request, by what is known of it."""

from collections.abc import Mapping
from typing import Final

from cache_invalidation.surfaces.pages.swapping import KEY

# What Django itself keeps on a request, and says nothing about who it is from.
_OWN: Final = frozenset(
    {
        *("_read_started", "_upload_handlers", "csrf_processing_done", "script_name"),
        *("_dont_enforce_csrf_checks", KEY),
    }
)
# Where Django keeps who the user is.
USERS: Final = frozenset({"_cached_user", "_acached_user"})
# What a view may put there without anybody after it seeing it on a miss only.
SET_BY_DJANGO: Final = frozenset(
    {
        *(*USERS, "_read_started", "_encoding", "_current_scheme_host", KEY),
        *("_post", "_files"),  # Of a request without a body there is nothing in them.
    }
)
# What is known by its name, and no mapping.
PLAIN: Final = frozenset({"method", "path", "path_info", "resolver_match"})
KNOWN: Final = _OWN | USERS | PLAIN
# By what may be set, what was made of it.
MADE_OF: Final[Mapping[str, tuple[str, ...]]] = {"META": ("META", "environ", "headers")}
BODY: Final = frozenset({"body", "_stream", "read", "readline", "readlines", "_body", "scope"})
