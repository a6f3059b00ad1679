"""The options of `cache_page`, looked at when a view is decorated and not when it is called."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cache_invalidation.reads.options import check_flags, checked_timeout
from cache_invalidation.reads.read import Default
from cache_invalidation.stores.near import take_into_use
from cache_invalidation.surfaces.pages.outlook import Coarse, of_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the pages of one view are cached. `timeout` is in seconds, None for ever."""

    timeout: float | Default | None
    key_prefix: str
    of_user: Coarse | None
    lock: bool
    statuses: Collection[int]
    near: bool

    @classmethod
    def checked(
        cls,
        caller: str,
        timeout: float | timedelta | Default | None,
        key_prefix: str | None,
        vary_on: Mapping[str, Coarse] | None,
        lock: bool,
        statuses: Collection[int],
        near: bool,
    ) -> "Options":
        """Return the options as `caller` was given them.

        Raises `TypeError` or `ValueError` for those that cannot work.
        """
        if callable(timeout):
            raise TypeError(
                f"{caller} was given {timeout!r} as its timeout. The decorator needs brackets, as "
                "in @cache_page(300) or @cache_page()."
            )
        check_flags(f"{caller}: ", lock=lock, near=near)
        codes: Any = statuses
        if not (isinstance(codes, Collection) and all(type(each) is int for each in codes)):
            raise TypeError(f"{caller}: statuses={statuses!r}: it must be a list of numbers.")
        if near:
            take_into_use()
        return cls(
            timeout=checked_timeout(timeout),
            key_prefix=key_prefix or "",
            of_user=of_user(caller, vary_on or {}),
            lock=lock,
            statuses=frozenset(statuses),
            near=near,
        )
