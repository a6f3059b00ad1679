"""The options of `cached`, looked at when a function is decorated and not when it is called."""

from datetime import timedelta
from typing import Any

from cache_invalidation.conf import timeout as as_timeout
from cache_invalidation.reads.read import Default


def checked(
    timeout: Any, lock: Any, name: Any, sample: Any, refresh: Any, near: Any
) -> dict[str, Any]:
    """Return the options as they are used; raise `TypeError` or `ValueError` for a bad one."""
    check_flags("", lock=lock)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name={name!r}: it must be text, or None for the name of the function.")
    check_flags("", refresh=refresh, near=near)
    if refresh and timeout is None:
        raise ValueError(
            "refresh=True: with timeout=None nothing expires, so nothing is refreshed. Leave one "
            "of them out."
        )
    options = {"timeout": checked_timeout(timeout), "sample": _share(sample)}
    return {"lock": lock, "name": name, "ahead": refresh, "near": near, **options}


def check_flags(about: str, **flags: Any) -> None:
    """Raise `TypeError` for the first that is no truth value, with `about` in front of its name."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{about}{name}={value!r}: it must be True or False.")


def checked_timeout(value: float | timedelta | Default | None) -> float | Default | None:
    """Return a timeout as it is used, in seconds; raise `ValueError`, saying what to write."""
    if isinstance(value, Default):
        return value
    try:
        return as_timeout(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"timeout={value!r}: {error}, or None for ever.") from None


def _share(value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 < value <= 1):
        raise ValueError(
            f"sample={value!r}: it must be a number above 0 and up to 1, or None for never."
        )
    return float(value)
