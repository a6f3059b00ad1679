"""Programs of writes and reads, made at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.orm_writes import Write, orm_writes
from tests.fuzz.raw_writes import raw_writes
from tests.fuzz.reads import Read, reads_of
from tests.fuzz.schemas import Schema

READS = 4  # at most, in one program
STEPS = 8  # at most, besides those in blocks


@dataclass(frozen=True)
class Look:
    """Read everything; `elsewhere` means in another thread, which sees what is committed."""

    elsewhere: bool = False


@dataclass(frozen=True)
class Race:
    """Write while a value is computed: in another thread, before its queries or after them."""

    write: Write
    read: int
    late: bool


@dataclass(frozen=True)
class Block:
    """A transaction, or a savepoint if there is one already.

    It ends with COMMIT or with a rollback. With `hook`, everything is read in an ``on_commit``.
    """

    steps: "tuple[Step, ...]"
    rolled_back: bool
    savepoint: bool
    hook: bool
    # Committed by another thread after this one has read, if this is a transaction.
    meanwhile: Write | None = None


Step = Write | Look | Race | Block


@dataclass(frozen=True)
class Program:
    reads: tuple[Read, ...]
    steps: tuple[Step, ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Be shown by Hypothesis as what it is; the trace has the details."""
        printer.text(f"{len(self.reads)} reads, steps: {', '.join(map(repr, self.steps))}")


def programs(schema: Schema) -> st.SearchStrategy[Program]:
    """Return a strategy for programs on the tables of `schema`.

    Each is about one of them for the most part, since what is never written cannot be stale.
    """
    writes = {
        table.model: _weighted((3, orm_writes(schema, table)), (2, raw_writes(schema, table)))
        for table in schema.tables
    }
    reads = {
        table.model: _weighted(
            *((1, st.sampled_from(group)) for group in reads_of(schema, table) if group)
        )
        for table in schema.tables
    }
    every_write = _weighted(*((1, each) for each in writes.values()))
    every_read = _weighted(*((1, each) for each in reads.values()))
    return _weighted(
        *(
            (
                1,
                _programs(
                    _weighted((3, writes[table.model]), (1, every_write)),
                    _weighted((3, reads[table.model]), (1, every_read)),
                ),
            )
            for table in schema.tables
        )
    )


def _programs(
    writes: st.SearchStrategy[Any], reads: st.SearchStrategy[Read]
) -> st.SearchStrategy[Program]:
    looks = st.builds(Look, st.booleans())
    inner = _weighted((3, writes), (1, looks))
    for _ in range(2):
        block = st.builds(
            Block,
            st.lists(inner, max_size=4).map(tuple),
            rolled_back=st.sampled_from([False, False, True]),
            savepoint=st.sampled_from([True, True, False]),
            hook=st.sampled_from([False, False, True]),
            meanwhile=st.none() | writes,
        )
        inner = _weighted((6, writes), (2, looks), (1, block))
    pairs = st.lists(reads.filter(lambda read: read.tags is None), min_size=2, max_size=2)
    races = st.builds(Race, writes, st.integers(0, READS - 1), st.booleans())
    return st.builds(
        Program,
        st.lists(_weighted((8, reads), (1, pairs.map(_nest))), min_size=1, max_size=READS).map(
            tuple
        ),
        st.lists(_weighted((6, writes), (2, races), (2, block)), min_size=1, max_size=STEPS).map(
            tuple
        ),
    )


def _weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return a strategy that takes each of `choices` as often as it says."""
    several = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.integers(0, len(several) - 1).flatmap(several.__getitem__)


def _nest(parts: Sequence[Read]) -> Read:
    return Read("nested", parts[0].rows, parts=tuple(parts))
