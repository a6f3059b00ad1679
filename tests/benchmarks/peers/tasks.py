"""What is timed, once it is certain that it does what it is to be measured for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.management import call_command
from django.db import connection

from tests.benchmarks.peers.contenders import CONTENDERS, NO_CACHE, Task
from tests.benchmarks.peers.models import Product
from tests.benchmarks.timing import Alternative, repeat


def prepared(name: str, rows: int) -> Mapping[str, Callable[[int], Alternative]]:
    """Return, by name, what makes something to time of a number of calls."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    Product.objects.bulk_create(
        (Product(pk=pk, name=f"boot {pk}", text="x" * 100, price=20) for pk in range(1, rows + 1)),
        update_conflicts=True,
        update_fields=["name", "text"],
        unique_fields=["pk"],
    )
    tasks = CONTENDERS[name]()
    for hit in (task for what, task in tasks.items() if what != "save"):
        _check(hit, tasks["save"], is_kept=name != NO_CACHE)
    # What is dropped by a write is there, as it would be.
    before = {"save": tasks.get("one row", tasks["a name"])}
    return {
        what: partial(_alternative, task, before.get(what, task)) for what, task in tasks.items()
    }


def _alternative(task: Task, warm_up: Task, calls: int) -> Alternative:
    return Alternative(run=repeat(task, calls), warm_up=warm_up)


def _check(hit: Task, save: Task, *, is_kept: bool) -> None:
    """Fail unless the second call asks the database for nothing, if what it returns is kept."""
    save()
    with _queries() as asked:
        first = hit()
    assert asked, "It was not computed."
    with _queries() as asked:
        assert hit() == first
    assert bool(asked) != is_kept, asked


@contextmanager
def _queries() -> Iterator[list[str]]:
    asked: list[str] = []

    def note(execute: Any, sql: Any, *rest: Any) -> Any:
        asked.append(str(sql))
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield asked
