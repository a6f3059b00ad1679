"""Pages, blocks, responses and cached querysets that show what the shapes read.

Their querysets are evaluated where that is usual: by the template of a page that is rendered late,
inside of a block, in a serializer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from django.db import connections
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.template import Context, Engine, Library
from django.template.backends.django import DjangoTemplates
from django.template.response import TemplateResponse
from rest_framework import serializers
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.generics import ListAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from cache_invalidation.querysets import CachedQuerySet
from cache_invalidation.rest import CachedResponseMixin, cached_response
from cache_invalidation.surfaces.querysets import wanted
from cache_invalidation.views import cache_page
from tests.coverage_matrix import shapes
from tests.coverage_matrix.shapes import COLUMNS, Read, runs
from tests.coverage_matrix.world import Target, World
from tests.surfaces.asking import served
from tests.testapp.matrix import Item, Label

register = Library()


def _items(alias: str) -> CachedQuerySet[Item]:
    found: CachedQuerySet[Item] = CachedQuerySet(Item, using=alias)
    return found.order_by("pk")


def _with_labels(alias: str, *labels: int) -> CachedQuerySet[Item]:
    shown = Prefetch("labels", Label.objects.filter(pk__in=labels).order_by("pk"))
    return _items(alias).filter(labels__in=labels).distinct().prefetch_related(shown)


#: What the shapes of these names read. Totals are read by a tag, since no queryset is one.
_QUERIES: Final[Mapping[str, Callable[..., CachedQuerySet[Item]]]] = {
    "row": lambda alias, pk: _items(alias).filter(pk=pk),
    "rows": _items,
    "aggregate": _items,
    "join": lambda alias: _items(alias).select_related("topic", "shelf", "box"),
    "many_to_many": _with_labels,
    "tracked": lambda alias, topic: _items(alias).filter(topic=topic),
}
_FURTHER: Final[Mapping[str, str]] = {
    "join": "{{ item.topic.name }} {{ item.shelf.name }} {{ item.box.name }}",
    "many_to_many": "{% for label in item.labels.all %}{{ label.name }} {% endfor %}",
}


def _text(shape: str) -> str:
    if shape == "aggregate":
        return "{% totals alias %}"
    columns = " ".join(f"{{{{ item.{name} }}}}" for name in COLUMNS)
    return f"{{% for item in items %}}{columns} {_FURTHER.get(shape, '')};{{% endfor %}}"


@register.simple_tag
def totals(alias: str) -> dict[str, Any]:
    """Show what the aggregate is."""
    found: dict[str, Any] = shapes.aggregate.uncached(alias)
    return found


@register.simple_tag
def counted(shape: str) -> str:
    """Take note that the block is rendered."""
    runs[shape] += 1
    return ""


_BUILTINS: Final = ["cache_invalidation.templatetags.cache_invalidation", __name__]
_engine: Final = Engine(
    loaders=[
        (
            "django.template.loaders.locmem.Loader",
            {
                f"{shape}.html": f"{{% cached 300 %}}{{% counted '{shape}' %}}"
                f"{_text(shape)}{{% endcached %}}"
                for shape in _QUERIES
            },
        )
    ],
    builtins=_BUILTINS,
)
_blocks: Final = {shape: _engine.get_template(f"{shape}.html") for shape in _QUERIES}
_backend: Final = DjangoTemplates(
    {"NAME": "matrix", "DIRS": [], "APP_DIRS": False, "OPTIONS": {"builtins": _BUILTINS}}
)
_plain: Final = {shape: _backend.from_string(_text(shape)) for shape in _QUERIES}


class _Named(serializers.Serializer[Any]):
    name = serializers.CharField()


class _Serializer(serializers.ModelSerializer[Item]):
    class Meta:
        model = Item
        fields = list(COLUMNS)


class _Joined(_Serializer):
    topic, shelf, box = _Named(), _Named(), _Named()

    class Meta(_Serializer.Meta):
        fields = [*COLUMNS, "topic", "shelf", "box"]


class _Labeled(_Serializer):
    labels = _Named(many=True)

    class Meta(_Serializer.Meta):
        fields = [*COLUMNS, "labels"]


_SERIALIZERS: Final = {"join": _Joined, "many_to_many": _Labeled}


@cache_page(300)
def _page(request: HttpRequest, shape: str, *args: Any) -> TemplateResponse:
    runs[shape] += 1
    return TemplateResponse(request, _plain[shape], _names(shape, *args))


def _names(shape: str, alias: str, *args: Any) -> dict[str, Any]:
    return {"items": _QUERIES[shape](alias, *args), "alias": alias}


class _List(CachedResponseMixin, ListAPIView[Item]):
    authentication_classes = ()
    cache_timeout = 300

    def get_queryset(self) -> QuerySet[Item]:
        runs[self.kwargs["shape"]] += 1
        return _QUERIES[self.kwargs["shape"]](*self.kwargs["given"])

    def get_serializer_class(self) -> type[_Serializer]:
        return _SERIALIZERS.get(self.kwargs["shape"], _Serializer)


@api_view(["GET"])
@authentication_classes([])
@cached_response(300)
def _totals(request: Any, alias: str) -> Response:
    runs["aggregate"] += 1
    return Response(totals(alias))


@dataclass(frozen=True)
class Surface:
    """A page, a block or a response, in the place of the cached function of a shape."""

    kind: str
    shape: str

    @property
    def __name__(self) -> str:
        return self.shape

    def __call__(self, *args: Any) -> str:
        if self.kind in QUERYSETS:
            return self._queried(*args)
        if self.kind == "block":
            return str(_blocks[self.shape].render(Context(_names(self.shape, *args))))
        if self.kind == "page":
            return served(_page, f"/{self.shape}/", self.shape, *args).content.decode()
        view: Any = _totals if self.shape == "aggregate" else _List.as_view()
        path = f"/api/{self.shape}/"
        if self.shape == "aggregate":
            return served(view, path, *args).content.decode()
        return served(view, path, shape=self.shape, given=args).content.decode()

    def _queried(self, *args: Any) -> str:
        """Show what is read by cached queries, and count that as a run if the database is asked."""
        before, statements = runs[self.shape], list[str]()

        def note(execute: Any, sql: str, *about: Any) -> Any:
            statements.append(sql)
            return execute(sql, *about)

        names = _names(self.shape, *args)
        by_setting = self.kind == "QUERIES" or self.shape == "aggregate"
        if not by_setting:
            names["items"] = names["items"].cached()
        with (
            patch.object(wanted, "_declared", lambda: {"*": 300.0} if by_setting else {}),
            connections[names["alias"]].execute_wrapper(note),
        ):
            shown = str(_plain[self.shape].render(names))
        runs[self.shape] = before + bool(statements)
        return shown

    def uncached(self, *args: Any) -> str:
        if self.kind != "response":
            return str(_plain[self.shape].render(_names(self.shape, *args)))
        if self.shape == "aggregate":
            found: Any = totals(*args)
        else:
            serializer = _SERIALIZERS.get(self.shape, _Serializer)
            found = serializer(_QUERIES[self.shape](*args), many=True).data
        return str(JSONRenderer().render(found).decode())


QUERYSETS: Final = ("cached()", "QUERIES")
KINDS: Final = ("page", "block", "response", *QUERYSETS)


def _reads(turn: int, given: dict[str, tuple[Any, ...]]) -> list[Read]:
    """Return the shapes whose turn it is, two of them, and each on the surface whose turn it is."""
    found = []
    for number, shape in enumerate(_QUERIES):
        if shape in given and number % 3 == turn % 3:
            kind = KINDS[(turn // 3 + number // 3) % len(KINDS)]
            found.append(Read(Surface(kind, shape), given[shape], kind))
    return found


def reads(world: World, target: Target, turn: int) -> list[Read]:
    """Return what is shown of the row that is written."""
    if target == "twig":
        return []
    alias = world.alias
    given: dict[str, tuple[Any, ...]] = {
        "row": (alias, world.key_of(target)),
        "rows": (alias,),
        "aggregate": (alias,),
        "join": (alias,),
        "many_to_many": (alias, world.label.pk, world.spare_label.pk),
        "tracked": (alias, world.topic.pk),
    }
    return _reads(turn, given)


def others(world: World, target: Target, turn: int) -> tuple[list[Read], list[Read]]:
    """Return what is shown of other rows: by their keys and, with a rule, by a value."""
    if target == "twig":
        return [], []
    by_value = {"tracked": (world.alias, world.topic_of_far.pk)} if world.rule else {}
    return _reads(turn, {"row": (world.alias, world.other.pk)}), _reads(turn, by_value)
