"""What a part of a Jinja2 template uses, as its source says.

Templates of Jinja2 are compiled to Python that keeps names in local variables, so nobody can take
note of what is looked at. But every name that may be looked at stands in the source.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import Environment, nodes

from cache_invalidation.surfaces.inputs.trail import digest

# What has a meaning of its own in the bodies of these, whatever it is outside.
_BOUND: Final[Mapping[type[nodes.Node], frozenset[str]]] = {
    nodes.For: frozenset({"loop"}),
    nodes.Macro: frozenset({"caller", "varargs", "kwargs"}),
    nodes.CallBlock: frozenset({"caller", "varargs", "kwargs"}),
}
# Filters that call a filter or a test whose name they are given, at this place of their arguments.
_CALL_OTHERS: Final = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
_CONTEXTS: Final = (nodes.ContextReference, nodes.DerivedContextReference)


@dataclass
class Reading:
    """What was found: names of the context, filters, tests, and templates that are searched for.

    `refusals` are short reasons for which nobody can tell, with what there is to say about each.
    `source` stands for the source itself.
    """

    source: str = ""
    names: set[str] = field(default_factory=set)
    filters: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)
    templates: set[str] = field(default_factory=set)
    refusals: dict[str, str] = field(default_factory=dict)

    def spelled(self) -> tuple[Any, ...]:
        """Return it as plain values, which can stand in a compiled template."""
        found = (self.names, self.filters, self.tests, self.templates)
        return (self.source, *(tuple(sorted(each)) for each in found), tuple(self.refusals.items()))

    @classmethod
    def of(cls, spelled: tuple[Any, ...]) -> "Reading":
        """Return what `spelled` has returned, again."""
        source, names, filters, tests, templates, refusals = spelled
        return cls(source, set(names), set(filters), set(tests), set(templates), dict(refusals))


def read(part: Iterable[nodes.Node], own: str, *, whole: bool = False) -> Reading:
    """Return what a part of a template uses; `own` is what marks blocks in it that are cached, too.

    If it is a `whole` template, its blocks are its own business.
    """
    part = list(part)
    found = Reading(source=digest(repr(part)))
    reader = _Reader(found, own, whole)
    for node in part:
        reader.read(node, frozenset())
    return found


def read_template(env: Environment, source: str, name: str, own: str) -> Reading:
    """Return what a whole template uses."""
    found = read([env.parse(source, name)], own, whole=True)
    found.source = digest(source)
    return found


class _Reader:
    def __init__(self, found: Reading, own: str, whole: bool) -> None:
        self._found = found
        self._own = own
        self._whole = whole

    def read(self, node: nodes.Node, bound: frozenset[str]) -> None:
        match node:
            case nodes.Name(ctx="load"):
                self._name(node.name, bound)
            case nodes.Filter():
                self._found.filters.add(node.name)
                self._called_by(node)
            case nodes.Test():
                self._found.tests.add(node.name)
            case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
                self._searched(node.template)
            case nodes.Block() if not self._whole:
                self._refuse("template", "what templates that extend this one put into its blocks")
            case nodes.ExprStmt() | nodes.NSRef():
                self._refuse("state", "it changes what is outside of it")
            case _ if isinstance(node, _CONTEXTS):
                self._refuse("context", "a tag in it takes the whole context")
        in_body = bound | _BOUND.get(type(node), frozenset())
        for child in self._around_body(node):
            self.read(child, bound)
        for child in getattr(node, "body", ()):
            self.read(child, in_body)

    def _around_body(self, node: nodes.Node) -> Iterator[nodes.Node]:
        if isinstance(node, nodes.CallBlock) and self._is_own(node.call.node):
            yield from (each for each in node.call.args if not isinstance(each, _CONTEXTS))
        else:
            yield from node.iter_child_nodes(exclude=("body",))

    def _is_own(self, called: nodes.Expr) -> bool:
        return isinstance(called, nodes.ExtensionAttribute) and called.identifier == self._own

    def _name(self, name: str, bound: frozenset[str]) -> None:
        if name in bound:
            return
        if name in ("self", "super"):
            if not self._whole:
                self._refuse("template", f"it asks for what {name} is")
            return
        self._found.names.add(name)

    def _called_by(self, node: nodes.Filter) -> None:
        place = _CALL_OTHERS.get(node.name)
        if place is None or (len(node.args) <= place and not (node.dyn_args or node.dyn_kwargs)):
            return
        name = node.args[place] if len(node.args) > place else None
        if not (isinstance(name, nodes.Const) and isinstance(name.value, str)):
            self._refuse("filter", f"what {node.name} applies shows when it is rendered")
        elif node.name == "map":
            self._found.filters.add(name.value)
        else:
            self._found.tests.add(name.value)

    def _searched(self, template: nodes.Expr) -> None:
        listed = template.items if isinstance(template, nodes.List | nodes.Tuple) else [template]
        for each in listed:
            value = each.value if isinstance(each, nodes.Const) else None
            if isinstance(value, str):
                self._found.templates.add(value)
            elif isinstance(value, tuple | list):
                self._found.templates.update(map(str, value))
            else:
                self._refuse("template", "which template it includes shows when it is rendered")

    def _refuse(self, reason: str, detail: str) -> None:
        self._found.refusals.setdefault(reason, detail)
