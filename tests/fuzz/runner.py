"""The one who runs a program, and compares what is cached with what is in the database."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.core.exceptions import FieldError, ObjectDoesNotExist
from django.db import DatabaseError, connections, transaction
from hypothesis import note

from tests.fuzz.calls import Write
from tests.fuzz.functions import Function
from tests.fuzz.programs import Asked, Block, ByHand, Interrupted, Look, Program, Race, Step
from tests.fuzz.reads import Read, plain
from tests.fuzz.schemas import Schema
from tests.fuzz.statements import is_exclusive
from tests.fuzz.tables import wipe
from tests.moments import Interruption, interrupting, listening

REFUSED = (DatabaseError, FieldError, ObjectDoesNotExist)

_functions = count()


@dataclass
class Statistics:
    """What was done, to see that it was not nothing."""

    examples: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """The share of the reads that were answered from the cache."""
        return self.hits.total() / max(1, self.calls.total())

    def report(self) -> str:
        """Return what was done, in a few lines."""
        hits = ", ".join(f"{k} {self.hits[k]}/{n}" for k, n in self.calls.most_common())
        refused = ", ".join(f"{k} {n - self.refused[k]}/{n}" for k, n in self.writes.most_common())
        return f"{self.examples} programs. Hits {self.share:.0%}: {hits}. Accepted: {refused}."


class Stale(AssertionError):
    """A cached value differs from what is in the database."""


class _Rollback(Exception):
    pass


class Runner:
    """Runs one program, and compares each read with the same one without the cache."""

    def __init__(self, schema: Schema, statistics: Statistics, executor: Executor) -> None:
        self.schema, self.statistics, self.executor = schema, statistics, executor
        self.functions: list[Function] = []
        self.race: tuple[Function, Race] | None = None
        # Whether this thread sees a state that is not the last one.
        self.is_behind = False
        self.trace: list[tuple[int, object]] = []

    @property
    def alias(self) -> str:
        return self.schema.alias

    def run(self, program: Program) -> None:
        wipe(self.schema)
        self.statistics.examples += 1
        self.functions = list(map(self._function, program.reads))
        try:
            self.look()
            self._steps(program.steps)
        except Stale:
            steps = ["    " * depth + str(what) for depth, what in self.trace]
            note("\n".join(["", self.schema.describe(), "", *steps]))
            raise

    def _function(self, read: Read) -> Function:
        return Function(self, read, f"fuzz.{next(_functions)}")

    def _steps(self, steps: Sequence[Step], depth: int = 0) -> None:
        for step in steps:
            self._step(step, depth)
            if not depth:
                self.is_behind = False
                self.look()

    def _step(self, step: Step, depth: int) -> None:
        match step:
            case Look():
                self._look_from(step.elsewhere, depth)
            case Race():
                self._race(step)
            case Interrupted():
                self._interrupted(step, depth)
            case Asked():
                with self._accepting_refusals(_name_of(step.write), depth, is_statement=True):
                    self._say(f"looking all the time: {step.write!r}", depth)
                    with listening(self.look):
                        step.write.run(self.alias)
            case ByHand():
                with self._accepting_refusals("by hand", depth):
                    self._by_hand(step)
            case Block() if not depth or step.savepoint:
                with self._accepting_refusals("block", depth):
                    self._block(step, depth)
            case Block():
                self._block(step, depth)
            case _:
                with self._accepting_refusals(_name_of(step), depth, is_statement=True):
                    self._say(step, depth)
                    step.run(self.alias)

    @contextmanager
    def _accepting_refusals(
        self, name: str, depth: int, is_statement: bool = False
    ) -> Iterator[None]:
        """Go on after what the database refuses.

        Inside of a transaction a statement that is refused takes the whole block with it.
        """
        self.statistics.writes[name] += 1
        try:
            yield
        except REFUSED as error:
            self.statistics.refused[name] += 1
            self._say(f"refused: {type(error).__name__} {error}".splitlines()[0], depth)
            if depth and is_statement:
                raise
        except _Rollback:
            self._say("rolled back", depth)
            if is_statement:
                raise

    def _block(self, block: Block, depth: int) -> None:
        self._say(f"atomic(savepoint={block.savepoint}):", depth)
        with transaction.atomic(self.alias, savepoint=block.savepoint):
            if block.hook:
                transaction.on_commit(self.look, self.alias)
            # What locks a whole table would wait for this transaction, which waits for it.
            if block.meanwhile is not None and not depth and not is_exclusive(block.meanwhile):
                self._have_written_elsewhere(block.meanwhile)
            self._steps(block.steps, depth + 1)
            if block.rolled_back:
                raise _Rollback

    def _by_hand(self, step: ByHand) -> None:
        """Have a transaction without `atomic`: it is begun by what is written first."""
        self._say("set_autocommit(False):", 0)
        transaction.set_autocommit(False, self.alias)
        try:
            self._steps(step.steps, 1)
            self._say("rollback()" if step.rolled_back else "commit()", 0)
            (transaction.rollback if step.rolled_back else transaction.commit)(self.alias)
        except BaseException:
            transaction.rollback(self.alias)
            raise
        finally:
            transaction.set_autocommit(True, self.alias)

    def _interrupted(self, step: Interrupted, depth: int) -> None:
        """Have a write fail half-way, and go on with the transaction."""
        connection = connections[self.alias]
        self._say(f"interrupted {step.where} {step.number}: {step.write!r}", depth)
        self.statistics.writes["interrupted"] += 1
        # PostgreSQL goes on after an error of its own only from a savepoint.
        is_marked = depth and connection.vendor == "postgresql"
        sid = connection.savepoint() if is_marked else None
        try:
            with interrupting(self.alias, step.where, step.number):
                step.write.run(self.alias)
        except (*REFUSED, Interruption) as error:
            self.statistics.refused["interrupted"] += 1
            self._say(f"caught: {error!r}".splitlines()[0], depth)
            if connection.in_atomic_block:
                transaction.set_rollback(False, self.alias)
            elif connection.needs_rollback:
                raise _Rollback from None
            if sid is not None and not isinstance(error, Interruption):
                transaction.savepoint_rollback(sid, self.alias)
                sid = None
        if sid is not None:
            transaction.savepoint_commit(sid, self.alias)

    def _have_written_elsewhere(self, write: Write) -> None:
        """Have another thread write, while the transaction of this one sees the state before."""
        self._say("look", 1)
        self.look()
        self._say(f"elsewhere: {write!r}", 1)
        # A snapshot may get hits that are newer, and is not to be compared.
        self.is_behind = connections[self.alias].vendor == "sqlite"
        self.executor.submit(self._write_elsewhere, write).result()
        self.look()

    def _write_elsewhere(self, write: Write) -> None:
        with self._accepting_refusals("elsewhere", 0):
            write.run(self.alias)

    def _look_from(self, elsewhere: bool, depth: int) -> None:
        self._say("look elsewhere" if elsewhere else "look", depth)
        if elsewhere:
            behind, self.is_behind = self.is_behind, False
            self.executor.submit(self.look).result()
            self.is_behind = behind
        else:
            self.look()

    def _race(self, race: Race) -> None:
        """Have a write committed by another thread while a value is computed, or right now."""
        index = race.read % len(self.functions)
        function = self.functions[index]
        if race.anew:
            function = self.functions[index] = self._function(function.read)
        told = f"{race.moment} of {function.read!r}"
        self._say(f"{told}{', anew' if race.anew else ''}: {race.write!r}", 0)

        self.race = function, race
        function.cached.refresh()
        self.race = None

    @contextmanager
    def computing(self, function: Function) -> Iterator[None]:
        """Let the write of a race happen at its moment, if it is about this function."""
        if self.race is None or self.race[0] is not function:
            yield
            return
        (_, race), self.race = self.race, None
        left = {"before": 0, "first": 1, "second": 2}.get(race.moment)

        def reach() -> None:
            nonlocal left
            if left == 0:
                self.executor.submit(self._write_elsewhere, race.write).result()
            left = None if left is None else left - 1

        def execute_and_reach(execute: Any, *about: Any) -> Any:
            result = execute(*about)
            reach()
            return result

        reach()
        with connections[self.alias].execute_wrapper(execute_and_reach):
            yield
        if race.moment == "after":
            left = 0
            reach()

    def look(self) -> None:
        """Compare everything; what has just been computed cannot be wrong."""
        for function in self.functions:
            for argument in function.arguments:
                self._look_at(function, argument)

    def _look_at(self, function: Function, argument: Any) -> None:
        before = function.computations()
        value = plain(function.cached() if argument is None else function.cached(argument))
        shape = function.read.shape
        self.statistics.calls[shape] += 1
        if function.computations() - before == 1 + len(function.parts):
            return
        self.statistics.hits[shape] += 1
        truth = plain(function.truth(argument))
        if value != truth and not self.is_behind:
            said = f"{function.read!r}" + ("" if argument is None else f" of {argument!r}")
            raise Stale(f"{said}\n  cached: {value!r}\n  in the database: {truth!r}")

    def _say(self, what: object, depth: int) -> None:
        self.trace.append((depth, what))


def _name_of(write: Any) -> str:
    function = getattr(write, "function", None)
    return function.__name__ if function else " ".join(str(write.text).split()[:1])
