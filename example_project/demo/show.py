"""The demo from begin to end."""

from django.core.management import call_command
from rich.console import Console
from rich.table import Table

from example_project.demo import pages
from example_project.race.harness import Result
from example_project.race.harness import run as race

SECONDS = 5
WRITERS, READERS, ROWS = 2, 4, 16
PAUSE_MS = 3
WRITE_INTERVAL_MS = 5

RECIPES = {
    "post_save + on_commit + cache.delete": "example_project.race.strategies.Hand",
    "this app": "example_project.race.strategies.Ours",
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
    """Run both recipes; return whether they ran, and this app's never served an old value."""
    console.print(
        f"{WRITERS} writers and {READERS} readers, a process each, {ROWS} airports, {SECONDS} s. "
        f"Between its query and its store a reader loses up to {PAUSE_MS} ms."
    )
    results = {}
    for name, strategy in RECIPES.items():
        with console.status(f"Racing: {name}"):
            results[name] = race(
                strategy,
                seconds=SECONDS,
                writers=WRITERS,
                readers=READERS,
                rows=ROWS,
                pause_ms=PAUSE_MS,
                write_interval_ms=WRITE_INTERVAL_MS,
                is_enough=lambda total: total.reads > total.misses,
            )
    console.print(_table(results))
    kept = is_kept(*results.values())
    console.print("[green]The promise was kept.[/]" if kept else "[red]The promise was broken.[/]")
    return kept


def is_kept(hand: Result, ours: Result) -> bool:
    """Whether both recipes ran, and this app's was a cache and never wrong."""
    # A cache that is never hit is never stale either.
    return ours.is_consistent and ours.hit_rate > 0 and hand.reads > 0


def _table(results: dict[str, Result]) -> Table:
    table = Table("recipe")
    for heading in ("reads", "hit rate", "writes", "stale reads", "rows left stale"):
        table.add_column(heading, justify="right")
    for name, result in results.items():
        colour = "green" if result.is_consistent else "red"
        table.add_row(
            name,
            f"{result.reads:,}",
            f"{result.hit_rate:.1%}",
            f"{result.writes:,}",
            f"[{colour}]{result.stale:,}[/]",
            f"[{colour}]{result.left_stale}[/]",
        )
    return table
