"""The graph as columns of boxes with lines between them, drawn on the server."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cache_invalidation.admin.graph import Graph

# In units of the drawing, which are pixels where there is room.
BOX: Final = 196
GAP: Final = 36
HEIGHT: Final = 26
ROW: Final = 34
LETTERS: Final = 25  # that fit into a box

MOST: Final = 150  # boxes; a larger drawing is no help to anybody


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One node; `link` is the place on the page that tells of it."""

    kind: str
    name: str
    link: str
    x: int
    y: int

    @property
    def label(self) -> str:
        """The name, without its beginning if it does not fit: the end tells more."""
        return self.name if len(self.name) <= LETTERS else f"…{self.name[1 - LETTERS :]}"


class Node(NamedTuple):
    """What is drawn once; `of` tells apart those of the same name."""

    column: int
    kind: str
    name: str
    link: str
    of: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.of, self.name


@dataclass(slots=True)
class Drawing:
    """Boxes by place, and the paths of the lines between them."""

    boxes: dict[tuple[str, str, str], Box] = field(default_factory=dict)
    lines: dict[str, None] = field(default_factory=dict)
    filled: dict[int, int] = field(default_factory=dict)

    box_width: int = BOX
    box_height: int = HEIGHT
    width: int = 4 * BOX + 3 * GAP + 4  # with room for the border

    @property
    def height(self) -> int:
        return max(self.filled.values(), default=0) * ROW

    def box(self, node: Node) -> Box:
        """Return the box of `node`; a new one goes below the others of its column."""
        if node.key not in self.boxes:
            place = self.filled.get(node.column, 0)
            self.filled[node.column] = place + 1
            x, y = node.column * (BOX + GAP), place * ROW
            self.boxes[node.key] = Box(kind=node.kind, name=node.name, link=node.link, x=x, y=y)
        return self.boxes[node.key]

    def line(self, left: Box, right: Box) -> None:
        x, y = left.x + BOX, left.y + HEIGHT // 2
        bend, end = x + GAP // 2, right.y + HEIGHT // 2
        self.lines[f"M{x} {y} C{bend} {y} {bend} {end} {right.x} {end}"] = None


def draw(graph: Graph) -> Drawing | None:
    """Return the drawing of the models with rules; None if it would be empty or too large."""
    drawing = Drawing()
    for left, right in _edges(graph):
        drawing.line(drawing.box(left), drawing.box(right))
    return drawing if 0 < len(drawing.boxes) <= MOST else None


def _edges(graph: Graph) -> Iterator[tuple[Node, Node]]:
    for model in graph.models:
        written = Node(0, "model", model.label, model.anchor)
        for number, rule in enumerate(model.rules):
            # One class can be the rule of several models, and act on one in several ways.
            name = "built in" if rule.entry is None else rule.entry["rule"].rpartition(".")[2]
            fired = Node(1, "rule", name, model.anchor, of=f"{model.label} {number}")
            yield written, fired
            for target in rule.targets:
                named = Node(2, target.kind, target.name, model.anchor)
                yield fired, named
                for function in model.readers.get(target, ()):
                    yield named, Node(3, "function", function.name, function.anchor)
