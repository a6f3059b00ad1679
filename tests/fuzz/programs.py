"""Programs of writes and reads, made at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from django.db.models import Model
from hypothesis import strategies as st

from tests.fuzz.arguments import GROUPS
from tests.fuzz.calls import Write
from tests.fuzz.functions import Dress
from tests.fuzz.orm_writes import orm_writes
from tests.fuzz.raw_writes import raw_writes
from tests.fuzz.reads import Read, reads_of, reads_over
from tests.fuzz.relation_writes import relation_writes
from tests.fuzz.schemas import Grammar, Schema, Table
from tests.fuzz.shown import shown_writes
from tests.moments import Where

Moment = Literal["before", "first", "second", "after"]

READS = 4  # at most, in one program
STEPS = 8  # at most, besides those in blocks
USUAL_RACES = 2  # for six plain writes


@dataclass(frozen=True)
class Look:
    """Read everything; `elsewhere` means in another thread, which sees what is committed."""

    elsewhere: bool = False


@dataclass(frozen=True)
class Race:
    """Write while a value is computed, in another thread.

    Before its queries, after them, or when the first of them has been executed, or the second one.
    With `anew`, nobody has computed it before, or knows on which rows it will depend.
    """

    write: Write
    read: int
    moment: Moment
    anew: bool


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


@dataclass(frozen=True)
class ByHand:
    """A transaction that the project ends itself, with autocommit off."""

    steps: "tuple[Step, ...]"
    rolled_back: bool


@dataclass(frozen=True)
class Interrupted:
    """A write that fails half-way, in a transaction that goes on, or by itself."""

    write: Write
    where: Where
    number: int


@dataclass(frozen=True)
class Asked:
    """A write in the middle of which everything is read, as often as there is a moment for it."""

    write: Write


Step = Write | Look | Race | Block | ByHand | Interrupted | Asked


@dataclass(frozen=True)
class Program:
    reads: tuple[Read, ...]
    steps: tuple[Step, ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Be shown by Hypothesis as what it is; the trace has the details."""
        printer.text(f"{len(self.reads)} reads, steps: {', '.join(map(repr, self.steps))}")


@dataclass(frozen=True)
class Aim:
    """What programs are narrowed to, so that they find soon what one sabotage breaks.

    Reads of these shapes, with tags that are given or without; of the tables `between` two others,
    and writes to these; over `loose` foreign keys, which the database does not hold to; or many
    races with who computes something for the first time.
    """

    shapes: Sequence[str] = ()
    tagged: bool = False
    between: bool = False
    loose: bool = False
    races: bool = False

    def reads(self, schema: Schema, table: Table) -> list[Read]:
        """Return the reads of `table` that are meant."""
        return [
            read
            for group in reads_of(schema, table)
            for read in group
            if (not self.shapes or read.shape in self.shapes)
            and (read.tags is not None) is self.tagged
            and (read.name in table.many or not self.between)
            and (not self.loose or _is_loose(table, read.name))
        ]

    def writes(self, schema: Schema, table: Table) -> list[st.SearchStrategy[Any]]:
        """Return strategies for writes to what these reads show."""
        if self.between:
            return list(relation_writes(schema, table))
        tables = [table, *({} if self.tagged else table.relations).values()]
        return [kind(schema, each) for each in tables for kind in (orm_writes, raw_writes)]


def _is_loose(table: Table, name: str) -> bool:
    field: Any = table.model._meta.get_field(name.partition("__")[0])
    return not getattr(field, "db_constraint", True)


def aimed(schema: Schema, aim: Aim) -> st.SearchStrategy[Program]:
    """Return a strategy for programs on one table of `schema` each; none if `aim` is at nothing."""
    found = [
        _programs(
            _weighted(*((1, write) for write in aim.writes(schema, table))),
            st.sampled_from(reads),
            schema.grammar,
            races=20 if aim.races else USUAL_RACES,
        )
        for table in schema.tables
        if (reads := aim.reads(schema, table))
    ]
    return _weighted(*((1, each) for each in found)) if found else st.nothing()


def programs(schema: Schema) -> st.SearchStrategy[Program]:
    """Return a strategy for programs on the tables of `schema`.

    Each is about one of them for the most part, or about two that are related, since what is never
    written cannot be stale.
    """
    writes = {
        table.model: _weighted((3, orm_writes(schema, table)), (2, raw_writes(schema, table)))
        for table in schema.tables
    }
    writes |= {table.model: shown_writes(schema, table) for table in schema.shown}
    reads = {
        table.model: _weighted(
            *((1, st.sampled_from(group)) for group in reads_of(schema, table) if group)
        )
        for table in (*schema.tables, *schema.shown)
    }
    every_write = _weighted(*((1, each) for each in writes.values()))
    every_read = _weighted(*((1, each) for each in reads.values()))
    if schema.grammar == "unusual":
        every_read = every_read.flatmap(_dressed)
        reads = {model: each.flatmap(_dressed) for model, each in reads.items()}
    found = [
        _programs(
            _weighted((3, _near(schema, table, writes)), (1, every_write)),
            _weighted((3, reads[table.model]), (1, every_read)),
            schema.grammar,
        )
        for table in (*schema.tables, *schema.shown)
    ]
    if schema.grammar == "related":
        found *= 2
        for table in schema.tables:
            for name, target in {**table.relations, **table.many}.items():
                over = [(1, st.sampled_from(group)) for group in reads_over(table, name)]
                near = _weighted((2, writes[target.model]), (1, writes[table.model]))
                found.append(
                    _programs(
                        _weighted((4, near), (1, every_write)),
                        _weighted((4, _weighted(*over)), (1, reads[table.model])),
                        schema.grammar,
                    )
                )
    return _weighted(*((1, each) for each in found))


def _near(
    schema: Schema, table: Table, writes: Mapping[type[Model], st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    """Return a strategy for writes to `table`, and to those that have the same rows.

    That is the one whose rows it shows, if it is a view; or its parent, and its children.
    """
    own = writes[table.model]
    if table in schema.shown:
        return _weighted((1, own), (2, writes[schema.tables[0].model]))
    family = [each for each in schema.tables if each is table.parent or each.parent is table]
    return _weighted((3, own), *((1, writes[each.model]) for each in family))


def _programs(
    plain: st.SearchStrategy[Any],
    reads: st.SearchStrategy[Read],
    grammar: Grammar,
    races: int = USUAL_RACES,
) -> st.SearchStrategy[Program]:
    writes = plain if grammar == "usual" else _weighted((2, plain), (1, _disturbed(plain)))
    looks = st.builds(Look, st.booleans())
    inner = _weighted((3, writes), (1, looks))
    for _ in range(2):
        block = st.builds(
            Block,
            st.lists(inner, max_size=4).map(tuple),
            rolled_back=st.sampled_from([False, False, True]),
            savepoint=st.sampled_from([True, True, False]),
            hook=st.sampled_from([False, False, True]),
            meanwhile=st.none() | plain,
        )
        inner = _weighted((6, writes), (2, looks), (1, block))
    is_related = grammar == "related"
    pairs = st.lists(reads.filter(lambda read: read.tags is None), min_size=2, max_size=2)
    steps = [(6, writes), (2, block)]
    if grammar == "unusual":
        hand = st.builds(ByHand, st.lists(inner, max_size=5).map(tuple), st.booleans())
        steps.append((2, hand))
    # Joins are the first query, or what a prefetch asks in the second one.
    moments = st.sampled_from((*get_args(Moment), *(("first", "second") if is_related else ())))
    anew = st.booleans() if races == USUAL_RACES else st.just(True)
    steps.append((races, st.builds(Race, plain, st.integers(0, READS - 1), moments, anew)))
    return st.builds(
        Program,
        st.lists(
            _weighted((8, reads), (1, pairs.map(_nest))),
            min_size=2 if is_related else 1,
            max_size=READS,
        ).map(tuple),
        # What two tables have to do with each other takes more than one write to each.
        st.lists(_weighted(*steps), min_size=4 if is_related else 1, max_size=STEPS).map(tuple),
    )


def _disturbed(writes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for writes that fail half-way, and for those that others look into."""
    where, number = st.sampled_from(get_args(Where)), st.sampled_from((0, 0, 0, 1, 1, 2, 3))
    return _weighted(
        (2, st.builds(Interrupted, writes, where, number)), (1, st.builds(Asked, writes))
    )


def _dressed(read: Read) -> st.SearchStrategy[Read]:
    """Return a strategy for functions that do the same, declared and called in all ways."""
    dress = _weighted((5, st.just("usual")), (1, st.sampled_from(get_args(Dress))))
    arguments = st.sampled_from(GROUPS).flatmap(
        lambda group: st.lists(st.sampled_from(range(len(group))), min_size=2, max_size=3).map(
            lambda chosen: tuple(group[number] for number in sorted({*chosen}))
        )
    )
    some = _weighted((5, st.just(())), (1, arguments))
    return st.builds(lambda d, a: replace(read, dress=d, arguments=a), dress, some)


def _weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return a strategy that takes each of `choices` as often as it says."""
    several = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.integers(0, len(several) - 1).flatmap(several.__getitem__)


def _nest(parts: Sequence[Read]) -> Read:
    return Read("nested", parts[0].rows, parts=tuple(parts))
