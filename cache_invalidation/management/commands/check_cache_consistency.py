"""Compare what is cached with what is computed now."""

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, TypedDict

from django.core.management.base import CommandError, CommandParser

from cache_invalidation.exceptions import PatternsNotSupported, StoreUnavailable
from cache_invalidation.management.base import ShowingCommand, sentence
from cache_invalidation.operations.entities import suggest
from cache_invalidation.operations.rechecks import checkable, recheck_entries
from cache_invalidation.reads.rechecks import Rechecked

HELP = """\
Compute cached values again and compare them with the cache. What is stale is dropped there,
counted in cache_metrics, and logged with what is needed to find the cause.

  check_cache_consistency
      the entries of all functions that keep their calls: @cached(sample=0.001), refresh=True

  check_cache_consistency --function shop.queries.product --limit 100
      a hundred entries of this one

  check_cache_consistency --function "cache:product:*"
      what functions have returned that were given to cache.get_or_set, under the keys that this
      pattern of TRACK or of a rule tracks

The exit status is 1 if anything was stale, and 2 if that could not be found out, or nothing was
compared. One of these has happened to what is stale: something was written past Django, the
function reads what its tags do not say, its arguments do not tell its calls apart, or it returns
something else each time.

checked          compared, among them those that were stale
stale            proven: no write came between, and the value is another one
inconclusive     the function failed, or a write came between
not recomputable its arguments could not be kept, or the function keeps none; of a tracked key, it
                 was set by hand, or by a function that cannot be imported by its name

Functions are known by the modules that this command has loaded. It loads the URLs of the project
unless it is told to --skip-checks. Each entry costs what computing its value costs.
"""


class Counts(TypedDict):
    """The entries of one function, or of what one pattern tracks; or all."""

    checked: int
    stale: int
    inconclusive: int
    not_recomputable: int


class Command(ShowingCommand):
    """``manage.py check_cache_consistency [--function NAME] [--limit N] [--format json]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--function",
            action="append",
            default=[],
            metavar="NAME",
            help="check entries of this function only, or of tracked keys by the name of their "
            "pattern in the metrics; may be repeated",
        )
        parser.add_argument(
            "--limit", type=int, metavar="N", help="compute no more than N values; default: all"
        )
        super().add_arguments(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            # 1 says that something is stale; like `diff`, whoever could not look must not say it.
            error.returncode = 2
            raise

    def handle(self, *args: Any, **options: Any) -> None:
        limit, names = options["limit"], dict.fromkeys(options["function"])
        if limit is not None and limit < 1:
            raise CommandError("--limit is a number above zero.")
        for name in names:
            _check(name)
        is_text = options["format"] == "text"
        outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
        try:
            for entry in _first(recheck_entries(names), limit):
                outcomes.setdefault(entry.name, Counter())[entry.outcome] += 1
                if is_text:
                    self._tell(entry, options["verbosity"])
        except PatternsNotSupported as error:
            raise CommandError(str(error)) from error
        except StoreUnavailable as error:
            raise CommandError(f"The cache does not answer: {sentence(error)}") from error
        functions = {name: _counts(found) for name, found in sorted(outcomes.items())}
        total = _counts(sum(outcomes.values(), Counter()))
        text = "\n".join(_table(functions, total))
        self.show(text, {**total, "functions": functions}, options)
        if total["stale"]:
            raise SystemExit(1)
        if not total["checked"]:
            raise CommandError(_nothing_compared(total))

    def _tell(self, entry: Rechecked, verbosity: int) -> None:
        if verbosity > 2 or (verbosity > 1 and entry.outcome != "fresh"):
            reason = f": {entry.reason}" if entry.reason else ""
            pattern = "" if entry.key.startswith(entry.name) else f" ({entry.name})"
            self.stdout.write(f"{entry.outcome:<17}{entry.key}{pattern}{reason}")


def _check(name: str) -> None:
    known = checkable()
    if name in known:
        return
    hint = suggest(get_close_matches(name, known, 3), f"There are {len(known)}.")
    raise CommandError(
        f"No function {name!r} has opted in with @cached(sample=...) or refresh=True, and no "
        f"pattern of tracked keys is called so. {hint}"
    )


def _nothing_compared(total: Counts) -> str:
    found = total["inconclusive"] + total["not_recomputable"]
    if not found:
        return "Nothing was compared: no entry was found."
    return (
        f"Nothing was compared: {found} entries were found, and none could be. Functions that keep "
        "their calls are declared with @cached(sample=...) or refresh=True."
    )


def _first(entries: Iterator[Rechecked], limit: int | None) -> Iterator[Rechecked]:
    """Go through `entries` until `limit` of them have been computed."""
    computed = 0
    for entry in entries:
        yield entry
        computed += entry.outcome != "not recomputable"
        if computed == limit:
            return


def _counts(outcomes: Counter[str]) -> Counts:
    return Counts(
        checked=outcomes["fresh"] + outcomes["stale"],
        stale=outcomes["stale"],
        inconclusive=outcomes["inconclusive"],
        not_recomputable=outcomes["not recomputable"],
    )


def _table(functions: dict[str, Counts], total: Counts) -> Iterator[str]:
    width = max(map(len, [*functions, "all"]))
    yield f"{'':<{width}}  checked  stale  inconclusive  not recomputable"
    for name, counts in [*functions.items(), ("all", total)]:
        yield (
            f"{name:<{width}}  {counts['checked']:>7}  {counts['stale']:>5}  "
            f"{counts['inconclusive']:>12}  {counts['not_recomputable']:>16}"
        )
