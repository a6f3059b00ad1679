"""Kinds of models that few projects have: the second table of the page.

Each has a `code` and a `number`. Their tables are made for the tests, some of them not as Django
would have made them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from django.db import models
from django.db.models import CASCADE, Model, OneToOneField

from tests.coverage_matrix.ways import Database, Goes
from tests.testapp.made import make_model

BOTH: Final[tuple[Database, ...]] = ("PostgreSQL", "SQLite")
ALIASES: Final[dict[Database, str]] = {"PostgreSQL": "default", "SQLite": "sqlite"}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind; `make` returns the models whose tables are made, the one that is written last.

    `shown` are made as well, and show its rows, but Django does not create what they are. `sql` is
    executed after the tables are made, for each of its texts that are given for the database.
    """

    title: str
    make: Callable[[], Sequence[type[Model]]]
    shown: Callable[[type[Model]], Sequence[type[Model]]] = lambda model: ()
    sql: Callable[[str], Sequence[str]] = lambda table: ()
    # What stands instead in the statement that makes the table.
    replaced: Mapping[str, str] = field(default_factory=dict)
    databases: tuple[Database, ...] = BOTH
    # As they are written, and as readers ask for them: of the row that is written, and of another.
    keys: tuple[Any, Any] = (1, 2)
    asked: tuple[Any, Any] | None = None
    codes: tuple[str, str] = ("a", "a")
    # Further attributes of the row with that key.
    given: Callable[[Any], Mapping[str, Any]] = lambda key: {}
    goes: Goes = "row"
    # Of those that are shown; "never" means that nothing is stored in the first place.
    shown_goes: Goes | Literal["never"] = "row"
    # Whether what is written is that.
    is_shown_written: bool = False
    # Ways that tell which rows of the parents they write only if a rule looks at values.
    by_table: frozenset[str] = frozenset()
    # Ways that Django or the database refuses.
    without: frozenset[str] = frozenset()
    note: str = ""

    @property
    def name(self) -> str:
        return "".join(part for part in self.title.title() if part.isalnum())


class Lowered(models.CharField):  # type: ignore[type-arg]
    """Stores something else than the attribute says afterwards."""

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        return super().pre_save(model_instance, add).lower()


def columns(code: Any = None, key: Any = None) -> dict[str, Any]:
    return {
        "id": key or models.IntegerField(primary_key=True),
        "code": code or models.CharField(max_length=20),
        "number": models.IntegerField(default=1),
    }


def plain(name: str, db_table: str | None = None, **replaced: Any) -> Callable[[], Any]:
    return lambda: [make_model(name, {**columns(**replaced)}, db_table=db_table)]


def text_key(name: str) -> Callable[[], Any]:
    return plain(name, key=models.CharField(max_length=20, primary_key=True))


def copy_of(name: str, db_table: str) -> Callable[[type[Model]], Any]:
    """Return a model of what shows the rows of the other one."""
    return lambda model: [make_model(name, columns(), db_table=db_table, managed=False)]


def _number(name: str = "extra") -> dict[str, Any]:
    return {name: models.IntegerField(default=0)}


def _grandchild() -> Sequence[type[Model]]:
    parent = make_model("KindParent", columns())
    child = make_model("KindChild", _number(), parent)
    return parent, child, make_model("KindGrandchild", _number("more"), child)


def _own_key() -> Sequence[type[Model]]:
    parent = make_model("KindPlace", columns())
    link = OneToOneField(parent, CASCADE, parent_link=True)
    key = models.IntegerField(primary_key=True)
    return parent, make_model("KindShop", {"link": link, "key": key}, parent)


def _diamond() -> Sequence[type[Model]]:
    top = make_model("KindTop", columns())
    left = make_model("KindLeft", _number(), top)
    link = OneToOneField(top, CASCADE, parent_link=True, primary_key=True, related_name="right")
    right = make_model("KindRight", {"link": link, **_number("more")}, top)
    return top, left, right, make_model("KindBottom", _number("most"), left, right)


def _two_parents() -> Sequence[type[Model]]:
    first = make_model("KindFirst", columns())
    key = models.IntegerField(primary_key=True)
    second = make_model("KindSecond", {"side": key, **_number()})
    return first, second, make_model("KindBoth", _number("more"), first, second)


def _twins() -> Sequence[type[Model]]:
    parent = make_model("KindPerson", columns())
    other = make_model("KindTeacher", _number(), parent)
    return parent, other, make_model("KindSinger", _number(), parent)


def _view(name: str, kind: str = "VIEW") -> Callable[[str], Sequence[str]]:
    return lambda table: [f"CREATE {kind} {name} AS SELECT * FROM {table}"]


def _partitions(table: str) -> Sequence[str]:
    return [
        f"CREATE TABLE kind_part_{keys[0]} PARTITION OF {table} FOR VALUES IN {keys}"
        for keys in ((1, 2), (3, 4))
    ]


NEVER: Final = "What is read from it is not stored."
SPLIT: Final = {"END": ' PARTITION BY LIST ("id")'}
NO_RULE: Final = "Without a rule that looks at values, updates or deletions drop the table."
ABOVE: Final = "A row is read with those of its parents, which are found by a join."


def _with_parents(**options: Any) -> Iterator[Kind]:
    """Yield a kind whose parents count by row where the database says that they are there."""
    note = NO_RULE if "by_table" in options else ""
    yield Kind(**options, databases=("PostgreSQL",), goes="row", note=note)
    yield Kind(**options, databases=("SQLite",), goes="table", note=ABOVE)


KINDS: Final = [
    Kind(
        title="A grandchild by multi-table inheritance", make=_grandchild, goes="table", note=ABOVE
    ),
    *_with_parents(
        title="A multi-table child with a key of its own",
        make=_own_key,
        keys=(11, 12),
        given=lambda key: {"id": key - 10},
        by_table=frozenset({"update", "delete", "delete_queryset", "raw_update"}),
        # Django takes the key of the child for that of the parent.
        without=frozenset({"bulk_update"}),
    ),
    Kind(title="A child of two children of one parent", make=_diamond, goes="table", note=ABOVE),
    *_with_parents(
        title="A child of two parents",
        make=_two_parents,
        given=lambda key: {"side": key + 20},
        by_table=frozenset({"delete", "delete_queryset"}),
    ),
    *_with_parents(
        title="A row that is in two multi-table children",
        make=_twins,
        # Django does not think of the other child.
        without=frozenset({"create", "delete", "delete_queryset"}),
    ),
    Kind(
        title="A primary key in a column `char(20)`",
        make=text_key("KindFixed"),
        replaced={"varchar(20)": "char(20)"},
        databases=("PostgreSQL",),
        keys=("ab", "cd"),
        asked=("ab   ", "cd"),
        goes="table",
    ),
    Kind(
        title="A primary key in a column `citext`",
        make=text_key("KindCitext"),
        replaced={"varchar(20)": "citext"},
        databases=("PostgreSQL",),
        keys=("ab", "cd"),
        asked=("AB", "cd"),
        goes="table",
    ),
    Kind(
        title="A primary key that SQLite compares by `NOCASE`",
        make=text_key("KindNocase"),
        replaced={"varchar(20)": "varchar(20) COLLATE NOCASE"},
        databases=("SQLite",),
        keys=("ab", "cd"),
        asked=("AB", "cd"),
        goes="table",
    ),
    Kind(
        title="A tracked column `char(20)`",
        make=plain("KindFixedCode"),
        replaced={"varchar(20)": "char(20)"},
        databases=("PostgreSQL",),
        codes=("a", "a  "),
    ),
    Kind(
        title="A tracked column that SQLite compares by `RTRIM`",
        make=plain("KindTrimmedCode"),
        replaced={"varchar(20)": "varchar(20) COLLATE RTRIM"},
        databases=("SQLite",),
        codes=("a", "a  "),
    ),
    Kind(
        title="A tracked field whose `pre_save` returns something else",
        make=plain("KindLowered", code=Lowered(max_length=20)),
        codes=("Anna", "anna"),
    ),
    Kind(
        title="A view",
        make=plain("KindViewed"),
        shown=copy_of("KindView", "kind_view"),
        sql=_view("kind_view"),
        shown_goes="never",
        note=NEVER,
    ),
    Kind(
        title="A view in another schema",
        make=plain("KindReported"),
        shown=copy_of("KindReport", 'kind_reports"."kind_view'),
        sql=_view("kind_reports.kind_view"),
        databases=("PostgreSQL",),
        shown_goes="never",
        note=NEVER,
    ),
    Kind(
        title="A partition of a table, written through the table",
        make=plain("KindSplit"),
        shown=copy_of("KindPart", "kind_part_1"),
        sql=_partitions,
        replaced=SPLIT,
        databases=("PostgreSQL",),
        note="The partition has a model of its own.",
    ),
    Kind(
        title="A partition of a table, written by itself",
        make=plain("KindWhole"),
        shown=copy_of("KindHalf", "kind_part_1"),
        sql=_partitions,
        replaced=SPLIT,
        databases=("PostgreSQL",),
        is_shown_written=True,
        note="The table has a model of its own.",
    ),
    Kind(
        title="A table that inherits from another, written by itself",
        make=plain("KindEstate"),
        shown=copy_of("KindHeir", "kind_heir"),
        sql=lambda table: [f"CREATE TABLE kind_heir (PRIMARY KEY (id)) INHERITS ({table})"],
        databases=("PostgreSQL",),
        is_shown_written=True,
        note="The table above has a model of its own.",
    ),
    Kind(
        title="A view, written by itself",
        make=plain("KindBehind"),
        shown=copy_of("KindWindow", "kind_window"),
        sql=_view("kind_window"),
        databases=("PostgreSQL",),
        goes="table",
        shown_goes="never",
        is_shown_written=True,
        note="What is read from it is not stored. The table behind it has a model of its own.",
    ),
    *(
        Kind(title=f"A table called `{name}`", make=plain(f"KindNamed{number}", name))
        for number, name in enumerate(("odd.name", "two words", "ALLCAPS", "select", "größe"))
    ),
    Kind(title="A table whose name is quoted in `db_table`", make=plain("KindQuoted", '"Kind Q"')),
    Kind(
        title="A table in another schema",
        make=plain("KindElsewhere", 'kind_reports"."kind_elsewhere'),
        databases=("PostgreSQL",),
    ),
]
