"""Writers, drainers and connections that end in the middle of a write."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Final

from django.db import connection

from example_project.servers import ValkeyServer
from tests.consistency.drills.outages import unreachable
from tests.consistency.drills.stage import Stage
from tests.consistency.drills.victims import COMMITS

VICTIMS: Final = "tests.consistency.drills.victims"

UP: Final = (
    "before the fence",
    "between fence and COMMIT",
    "between COMMIT and delivery",
    "after the delivery",
    "between delivery and deletion of its row",
)
DOWN: Final = (
    "before the row",
    "between row and COMMIT",
    "between COMMIT and the attempt to deliver",
    "after the attempt to deliver",
)
DRAIN: Final = "before the delivery", "between delivery and deletion of the rows"
WAYS: Final = "save", "update in a block", "update", "raw SQL", "update between two reads"


class _Victims:
    """Processes that write one row after the other, each in another way."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.killed = 0
        self.ways = cycle(WAYS)
        self._rows = cycle(range(len(stage.course.icaos)))

    def kill(self, name: str, *arguments: str) -> None:
        if self.stage.kill(f"{VICTIMS}.{name}", next(self._rows), *arguments):
            self.killed += 1
        else:
            self.stage.broken.append(f"A process was not killed: {', '.join(arguments)}.")

    def lose_connection(self) -> bool:
        row = next(self._rows)
        with self.stage.writing_of(row):
            return bool(
                self.stage.call(f"{VICTIMS}.lose_connection_in_commit", row, next(self.ways))
            )


def writers(stage: Stage, server: ValkeyServer) -> None:
    """kill -9 of writers and drainers at every step, with the cache there and without it."""
    victims = _Victims(stage)
    times = stage.pace.rounds
    for step in UP:
        for _ in range(times):
            victims.kill("write_and_die", step, next(victims.ways))
    for step in DRAIN:
        victims.kill("drain_and_die", step)
    with unreachable(server):
        for step in DOWN:
            for _ in range(times):
                victims.kill("write_and_die", step, next(victims.ways))
    # Rows that a killed statement leaves are not due at once, and nobody else waits for that.
    stage.join("drain")
    stage.notes.append(f"{victims.killed} processes were killed.")


def commits(stage: Stage, server: ValkeyServer) -> None:
    """PostgreSQL connections and writers that end during COMMIT, or between fence and COMMIT."""
    victims, ended, unknown = _Victims(stage), 0, 0

    def terminate() -> bool:
        nonlocal ended
        ended += _terminate("query = 'COMMIT' AND state = 'active'")
        ended += _terminate("state = 'idle in transaction'")
        return ended > 0

    with _slow_commits():
        for _ in stage.meanwhile(0.05):
            terminate()
        stage.wait_for("terminated", terminate)
        for _ in range(3 * stage.pace.rounds):
            victims.kill("die_in_commit", next(victims.ways))
            unknown += victims.lose_connection()
    stage.notes.append(
        f"{ended} backends were terminated, {victims.killed} writers killed during COMMIT, "
        f"and {unknown} connections cut then."
    )
    if not (ended and victims.killed and unknown):
        stage.broken.append("Not everything ended that should.")


def _terminate(which: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
        )
        return int(cursor.fetchone()[0])


@contextmanager
def _slow_commits() -> Iterator[None]:
    """Have COMMIT take some time when airports were written; a statement in autocommit as well.

    It takes at least as long as somebody else has the lock `victims.COMMITS`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION drill_sleep() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.03);"
            f" PERFORM pg_advisory_xact_lock_shared({COMMITS}); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER drill_slow AFTER UPDATE ON airports_airport"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION drill_sleep()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION drill_sleep() CASCADE")
