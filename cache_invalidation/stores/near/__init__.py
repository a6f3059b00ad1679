"""Near values: what a process keeps of the cache in its own memory, and may answer from alone.

See `docs/explanation/near.md`. `memory` is what is kept, `holding` keeps the lease that a
`registrar` grants, `waiting` is what a writer has to wait for.
"""

_in_use = False


def is_in_use() -> bool:
    """Whether this process knows that somebody may keep values near."""
    return _in_use


def take_into_use() -> None:
    """Take note that somebody may keep values near, so that writers have to ask who does."""
    global _in_use
    _in_use = True
