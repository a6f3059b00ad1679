"""Random programs: queries of novels, and writes to them and to what they belong to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Avg, Count, F, Max, Prefetch, Sum
from hypothesis import strategies as st

from cache_invalidation.querysets import CachedQuerySet
from tests.testapp.novels import Genre, Novel, Sequel, Writer

NAMES: Final = ("a", "b", "c")

Rows = Any


def first(kind: Any, alias: str, name: str) -> Any:
    return kind.objects.using(alias).uncached().filter(name=name).order_by("pk").first()


#: From a queryset to another one.
STEPS: Final[dict[str, Callable[[Rows, int, str], Rows]]] = {
    "name": lambda rows, number, name: rows.filter(name=name),
    "not name": lambda rows, number, name: rows.exclude(name=name),
    "names": lambda rows, number, name: rows.filter(name__in=[name, "d"]),
    "key": lambda rows, number, name: rows.filter(pk__in=_keys(rows, name)),
    "pages": lambda rows, number, name: rows.filter(pages__gt=number),
    "price": lambda rows, number, name: rows.filter(price__lte=number),
    "writer": lambda rows, number, name: rows.filter(writer__name=name),
    "no writer": lambda rows, number, name: rows.filter(writer=None),
    "genre": lambda rows, number, name: rows.filter(genres__name=name).distinct(),
    "inner": lambda rows, number, name: rows.filter(
        writer__in=Writer.objects.using(rows.db).filter(genres__name=name)
    ),
    "fact": lambda rows, number, name: rows.filter(facts__n=number),
    "sequel": lambda rows, number, name: rows.filter(sequel__number__gte=number),
    "annotated": lambda rows, number, name: rows.annotate(n=Count("genres")).filter(n__lt=number),
    "joined": lambda rows, number, name: rows.select_related("writer"),
}


def _keys(rows: Rows, name: str) -> list[int]:
    found = Novel.objects.using(rows.db).uncached().filter(name=name).order_by("pk")
    return list(found.values_list("pk", flat=True))[:2]


def _shown(row: Any) -> Any:
    about = (row.pk, row.name, row.price, row.pages, row.writer_id, row.facts, row.isbn)
    is_joined = Novel.writer.is_cached(row)
    return (*about, row.writer.name if is_joined and row.writer else None)


def _prefetched(rows: Rows) -> Any:
    genres = Prefetch("genres", Genre.objects.using(rows.db).order_by("pk"))
    found = rows.order_by("pk").prefetch_related(genres, "writer__genres")
    return [
        (
            row.pk,
            [genre.name for genre in row.genres.all()],
            row.writer and sorted(genre.name for genre in row.writer.genres.all()),
        )
        for row in found
    ]


#: What is made of a queryset.
ENDS: Final[dict[str, Callable[[Rows], Any]]] = {
    "iteration": lambda rows: [_shown(row) for row in rows.order_by("pk")],
    "part": lambda rows: [_shown(row) for row in rows.order_by("-pk")[1:3]],
    "first": lambda rows: [_shown(row) for row in [rows.order_by("pages", "pk").first()] if row],
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "aggregate": lambda rows: rows.aggregate(Sum("pages"), Max("price"), n=Count("writer")),
    "aggregate of relations": lambda rows: rows.aggregate(Avg("genres__pk"), Max("writer__name")),
    "values": lambda rows: list(rows.order_by("pk").values("pk", "writer__name", "facts")),
    "values_list": lambda rows: list(rows.order_by("pk").values_list("name", "takes", "cover")),
    "groups": lambda rows: sorted(rows.values_list("name").order_by().annotate(Count("pk"))),
    "in_bulk": lambda rows: {key: _shown(row) for key, row in rows.in_bulk().items()},
    "dates": lambda rows: list(rows.dates("printed", "year")),
    "prefetch": _prefetched,
    "only": lambda rows: [(row.pk, row.name) for row in rows.only("name").order_by("pk")],
}


@dataclass(frozen=True)
class Query:
    """The names of steps and of an end, with what the steps are about."""

    steps: tuple[tuple[str, int, str], ...]
    end: str

    def answer(self, alias: str, *, cached: bool) -> Any:
        """Return what the program would get, in a form that can be compared."""
        rows: Any = CachedQuerySet(Novel, using=alias)
        rows = rows.cached() if cached else rows.uncached()
        for step, number, name in self.steps:
            rows = STEPS[step](rows, number, name)
        return ENDS[self.end](rows)


def _raw(alias: str, sql: str, *params: Any) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)


def _save(alias: str, number: int, name: str) -> None:
    if novel := first(Novel, alias, name):
        novel.pages, novel.name = number, NAMES[number % 3]
        novel.writer = first(Writer, alias, name)
        novel.save()


def _bulk_update(alias: str, number: int, name: str) -> None:
    found = list(Novel.objects.using(alias).uncached())
    for novel in found:
        novel.price = number
    Novel.objects.using(alias).bulk_update(found, ["price"])


def _genres(change: Callable[[Any, Any], object]) -> Callable[[str, int, str], None]:
    def write(alias: str, number: int, name: str) -> None:
        novel = first(Novel, alias, NAMES[number % 3])
        genre = Genre.objects.using(alias).get_or_create(name=name)[0]
        if novel:
            change(novel.genres, genre)

    return write


def _delete(kind: Any) -> Callable[[str, int, str], None]:
    def write(alias: str, number: int, name: str) -> None:
        if found := first(kind, alias, name):
            found.delete()

    return write


def _of_novels(change: Callable[[Any, int, str], object]) -> Callable[[str, int, str], None]:
    def write(alias: str, number: int, name: str) -> None:
        change(Novel.objects.using(alias).cached(), number, name)

    return write


WRITES: Final[dict[str, Callable[[str, int, str], object]]] = {
    "create": lambda alias, number, name: Novel.objects.using(alias).create(
        name=name, pages=number, facts={"n": number}, writer=first(Writer, alias, name)
    ),
    "create writer": lambda alias, number, name: Writer.objects.using(alias).create(name=name),
    "create sequel": lambda alias, number, name: Sequel(name=name, number=number).save(using=alias),
    "save": _save,
    "bulk_create": lambda alias, number, name: Novel.objects.using(alias).bulk_create(
        [Novel(name=name, price=number), Novel(name=NAMES[number % 3])]
    ),
    "bulk_update": _bulk_update,
    "update": _of_novels(lambda rows, number, name: rows.filter(name=name).update(pages=number)),
    "update all": _of_novels(lambda rows, number, name: rows.update(pages=F("pages") + number)),
    "update sequels": lambda alias, number, name: (
        CachedQuerySet(Sequel, using=alias)
        .cached()
        .filter(name=name)
        .update(number=number, pages=number)
    ),
    "update_or_create": _of_novels(
        lambda rows, number, name: (
            rows.exclude(name="x").update_or_create(pages=number, defaults={"name": name})
            if rows.uncached().filter(pages=number).count() < 2
            else None
        )
    ),
    "rename writer": lambda alias, number, name: (
        Writer.objects.using(alias).filter(name=name).update(name=NAMES[number % 3])
    ),
    "delete": _delete(Novel),
    "delete writer": _delete(Writer),
    "delete genre": _delete(Genre),
    "delete many": _of_novels(lambda rows, number, name: rows.filter(pages__gt=number).delete()),
    "add": _genres(lambda genres, genre: genres.add(genre)),
    "remove": _genres(lambda genres, genre: genres.remove(genre)),
    "set": _genres(lambda genres, genre: genres.set([genre])),
    "clear": _genres(lambda genres, genre: genres.clear()),
    "genre of a writer": lambda alias, number, name: (
        first(Writer, alias, name)
        and first(Writer, alias, name).genres.add(
            Genre.objects.using(alias).get_or_create(name=NAMES[number % 3])[0]
        )
    ),
    "raw": lambda alias, number, name: _raw(
        alias, "UPDATE testapp_novel SET name = %s WHERE pages < %s", name, number
    ),
    "raw delete": lambda alias, number, name: _raw(
        alias, "DELETE FROM testapp_novel_genres WHERE novel_id > %s", number
    ),
}


@dataclass(frozen=True)
class Ask:
    number: int


@dataclass(frozen=True)
class Write:
    name: str
    number: int
    about: str


@dataclass(frozen=True)
class Block:
    """A transaction, or a savepoint in one."""

    actions: tuple[Any, ...]
    commits: bool


@dataclass(frozen=True)
class Program:
    queries: tuple[Query, ...]
    actions: tuple[Any, ...]


_numbers = st.integers(0, 4)
_names = st.sampled_from(NAMES)
_queries = st.builds(
    Query,
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), _numbers, _names), max_size=2).map(tuple),
    st.sampled_from(sorted(ENDS)),
)
_actions = st.recursive(
    st.one_of(
        st.builds(Ask, st.integers(0, 2)),
        st.builds(Write, st.sampled_from(sorted(WRITES)), _numbers, _names),
    ),
    lambda inner: st.builds(Block, st.lists(inner, max_size=4).map(tuple), st.booleans()),
    max_leaves=6,
)
programs: Final = st.builds(
    Program,
    st.lists(_queries, min_size=3, max_size=3).map(tuple),
    st.lists(_actions, min_size=4, max_size=12).map(tuple),
)


class Different(AssertionError):
    """A cached query has returned something else than the database."""


class Run:
    """A program on its way in one database, from the same few rows on."""

    def __init__(self, program: Program, alias: str) -> None:
        self.program, self.alias = program, alias

    def __call__(self) -> None:
        for kind in (Sequel, Novel, Writer, Genre):
            kind._base_manager.using(self.alias).delete()
        for number, name in enumerate(NAMES):
            for write in ("create writer", "create", "add"):
                WRITES[write](self.alias, number, name)
        self._ask_all()
        for action in self.program.actions:
            self._do(action)
        self._ask_all()

    def _ask_all(self) -> None:
        for number in range(len(self.program.queries)):
            for _ in range(2):
                self._ask(number)

    def _do(self, action: Any) -> None:
        if isinstance(action, Ask):
            self._ask(action.number)
        elif isinstance(action, Write):
            WRITES[action.name](self.alias, action.number, action.about)
            self._ask_all()
        else:
            with transaction.atomic(using=self.alias):
                for inner in action.actions:
                    self._do(inner)
                if not action.commits:
                    transaction.set_rollback(True, using=self.alias)
            self._ask_all()

    def _ask(self, number: int) -> None:
        query = self.program.queries[number]
        cached = query.answer(self.alias, cached=True)
        truth = query.answer(self.alias, cached=False)
        if cached != truth:
            raise Different(f"{query}: {cached!r}, and not {truth!r}")
