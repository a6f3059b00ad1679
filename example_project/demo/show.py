"""The demo from begin to end."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.management import call_command
from rich.console import Console
from rich.table import Table

from example_project.demo import pages
from example_project.race.harness import Result
from example_project.race.harness import run as race
from example_project.race.strategies import tracked_cache

WRITERS, READERS, ROWS = 2, 4, 16
READS = 10_000
READS_PER_WRITE = 25
PAUSE_MS = 3

BY_HAND = "post_save + on_commit + cache.delete"
#: The second one is the code of the first; what differs is BACKEND and TRACK in CACHES.
RECIPES: dict[str, tuple[str, Callable[[], AbstractContextManager[Any]]]] = {
    BY_HAND: ("example_project.race.strategies.Hand", nullcontext),
    "the same, with tracked keys": ("example_project.race.strategies.HandTracked", tracked_cache),
    "this app": ("example_project.race.strategies.Ours", nullcontext),
}


def run(console: Console | None = None) -> bool:
    """Show everything on `console`; return whether the app kept its promise."""
    console = console or Console()
    console.rule("Real data")
    call_command("load_airports")
    console.rule("What a page costs")
    pages.show(console)
    console.rule("Two users look at the same page")
    pages.show_visitors(console)
    console.rule("Readers and writers on the same rows")
    return show_race(console)


def show_race(console: Console) -> bool:
    """Run all recipes; return whether they ran, and this app never served an old value."""
    console.print(
        f"{WRITERS} writers and {READERS} readers, a process each, {ROWS} airports, and a write "
        f"for every {READS_PER_WRITE} reads. Between its query and its store a reader loses up to "
        f"{PAUSE_MS} ms."
    )
    results = {}
    for name, (strategy, caches) in RECIPES.items():
        with console.status(f"Racing: {name}"), caches():
            results[name] = race(
                strategy,
                seconds=0,
                writers=WRITERS,
                readers=READERS,
                rows=ROWS,
                pause_ms=PAUSE_MS,
                reads_per_write=READS_PER_WRITE,
                is_enough=lambda total: total.reads >= max(READS, total.misses + 1),
            )
    console.print(_table(results))
    kept = is_kept(*results.values())
    console.print("[green]The promise was kept.[/]" if kept else "[red]The promise was broken.[/]")
    return kept


def is_kept(hand: Result, *ours: Result) -> bool:
    """Whether all recipes ran, and those of this app were a cache and never wrong."""
    # A cache that is never hit is never stale either.
    return all(each.is_consistent and each.hit_rate > 0 for each in ours) and hand.reads > 0


def _table(results: dict[str, Result]) -> Table:
    table = Table("recipe")
    for heading in ("reads", "writes", "hit rate", "reads/s", "stale reads", "rows left stale"):
        table.add_column(heading, justify="right")
    for name, result in results.items():
        colour = "green" if result.is_consistent else "red"
        table.add_row(
            name,
            f"{result.reads:,}",
            f"{result.writes:,}",
            f"{result.hit_rate:.1%}",
            f"{result.reads / result.seconds:,.0f}",
            f"[{colour}]{result.stale:,}[/]",
            f"[{colour}]{result.left_stale}[/]",
        )
    return table
