"""What Django keeps in variables of a thread or task, and whether anything is kept there."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from threading import local
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.urls import base, get_urlconf, set_urlconf
from django.utils import timezone

from cache_invalidation.context import is_unset, variable_of
from cache_invalidation.reads.varying import zone_now
from cache_invalidation.surfaces.inputs.always import always

ZONE, URLCONF = variable_of(timezone._active), variable_of(base._urlconfs)  # type: ignore[attr-defined]
LIMA = ZoneInfo("America/Lima")


def inside_nobody(function: Callable[[], Any]) -> Any:
    """Return what `function` returns where nothing was ever set."""
    return Context().run(function)


def test_django_keeps_what_is_set_where_it_can_be_seen() -> None:
    def told() -> list[bool]:
        found = [is_unset(ZONE), is_unset(URLCONF)]
        timezone.activate(LIMA)
        set_urlconf("tests.shop.urls")
        return [*found, is_unset(ZONE), is_unset(URLCONF)]

    assert inside_nobody(told) == [True, True, False, False]


def test_what_is_set_is_an_input_and_so_is_that_it_is_not_any_more() -> None:
    def told() -> list[tuple[str | bytes, str]]:
        found = [(zone_now(), always(()))]
        timezone.activate(LIMA)
        found.append((zone_now(), always(())))
        set_urlconf("tests.shop.urls")
        found.append((zone_now(), always(())))
        timezone.deactivate()
        found.append((zone_now(), always(())))
        set_urlconf(None)
        assert get_urlconf() is None
        return [*found, (zone_now(), always(()))]

    nothing, zone, both, urlconf, again = inside_nobody(told)
    assert len({nothing, zone, both, urlconf}) == 4
    assert again == nothing
    assert zone[0] != nothing[0] == urlconf[0]


def test_what_is_set_outside_counts_in_tasks_and_in_their_threads() -> None:
    async def told() -> list[bool]:
        timezone.activate(LIMA)
        task = asyncio.create_task(asyncio.sleep(0, is_unset(ZONE)))
        return [await task, await sync_to_async(is_unset)(ZONE), zone_now() == "ZoneInfo:'UTC'"]

    assert inside_nobody(lambda: asyncio.run(told())) == [False, False, False]


@pytest.mark.parametrize("other", [local(), object(), None])
def test_what_is_kept_elsewhere_has_to_be_asked(other: Any) -> None:
    assert variable_of(other) is None
    assert not is_unset(variable_of(other))
