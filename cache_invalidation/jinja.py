"""Blocks of Jinja2 templates that are cached: an extension for the options of its engine."""

from datetime import timedelta
from typing import Any, Final

from jinja2 import nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro

from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.options import checked_timeout
from cache_invalidation.reads.read import DEFAULT
from cache_invalidation.stores.near import take_into_use
from cache_invalidation.surfaces.blocks.rendering import NAMELESS
from cache_invalidation.surfaces.jinja.around import Around
from cache_invalidation.surfaces.jinja.reading import Reading, read
from cache_invalidation.surfaces.jinja.rendering import rendered
from cache_invalidation.tags import block_tags

# What macros are called with, where a block that is cached would see what it is called with itself.
_OF_MACROS: Final = frozenset({"caller", "varargs", "kwargs"})


class CachedExtension(Extension):
    """``{% cached [timeout [, name [, further inputs …]]] [, near=True] %} … {% endcached %}``.

    The block is kept until what it reads from the databases changes, and has an entry for each
    value of the names that stand in it. `timeout` is in seconds or a `timedelta`, None for "until
    invalidated", ``DEFAULT_TIMEOUT`` if left out; at 0 the block is just rendered. What is set in
    the block stays in it. With `near`, each process keeps it in its memory as well.

    Raises `TemplateRuntimeError` for a timeout that is none.
    """

    tags = {"cached"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Return the block as a call of `render` with what it is rendered by."""
        line = next(parser.stream).lineno
        args: list[nodes.Expr]
        given: list[nodes.Expr] = []
        near = False
        while parser.stream.current.type != "block_end":
            if near := _is_near(parser):
                break
            given.append(parser.parse_expression())
            if not parser.stream.skip_if("comma"):
                break
        body = parser.parse_statements(("name:endcached",), drop_needle=True)
        reading = read(body, self.identifier)
        if reason := _why_not(reading, body):
            args = [nodes.ContextReference(), nodes.Const(reason)]
            passed_by = self.call_method("pass_by", args, lineno=line)
            return nodes.Scope([nodes.Output([passed_by]), *body]).set_lineno(line)
        args = [
            nodes.ContextReference(),
            nodes.DerivedContextReference(),
            nodes.Const(reading.spelled()),
            nodes.List(given),
            nodes.Const(near),
            # As the block itself sees them, which is not always what the context says.
            nodes.Dict([_pair(name) for name in sorted(reading.names)]),
        ]
        call = self.call_method("render", args, lineno=line)
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def pass_by(self, context: Context, reason: str) -> str:
        """Count that a block is just rendered; see `_why_not`."""
        counters.add(f"unstored:{block_tags(context.name or NAMELESS, '')[-1]}:{reason}")
        return ""

    def render(
        self,
        context: Context,
        visible: Context,
        spelled: Any,
        given: list[Any],
        near: bool,
        names: dict[str, Any],
        caller: Macro,
    ) -> Any:
        """Return what is in the block, from the cache if it is there."""
        if self.environment.is_async:
            return caller()
        timeout, *further = given or [DEFAULT]
        if isinstance(timeout, timedelta):
            timeout = timeout.total_seconds()
        if isinstance(timeout, int | float) and timeout <= 0:
            return caller()
        try:
            lifetime = checked_timeout(timeout)
        except (TypeError, ValueError) as error:
            raise TemplateRuntimeError(f"{{% cached %}}: {error}") from None
        around = Around(visible, Reading.of(spelled), names, self.identifier)
        if near:
            take_into_use()  # Here, since Jinja2 may have kept what it was compiled to.
        return rendered(context, around, lifetime, further, caller, near=near)


def _is_near(parser: Parser) -> bool:
    """Take ``near=True``, if that is what stands there. Anything else of that name is an error."""
    stream = parser.stream
    if not stream.current.test("name:near"):
        return False
    if stream.look().type == "block_end":
        parser.fail("near is no option: write near=True.")
    if stream.look().type != "assign":
        return False
    stream.skip(2)
    if stream.next_if("name:True") is None and stream.next_if("name:true") is None:
        parser.fail("near=True has to be spelled like that. Leave it out for the cache only.")
    if stream.current.type != "block_end":
        parser.fail("near=True has to come last.")
    return True


def _pair(name: str) -> nodes.Pair:
    return nodes.Pair(nodes.Const(name), nodes.Name(name, "load"))


def _why_not(reading: Reading, body: list[nodes.Node]) -> str:
    """Return why a block must not be compiled to a macro, as it would be to be cached."""
    if reading.names & _OF_MACROS:
        return "opaque"
    if any(map(_leaves_loop, body)):
        return "state"
    # Which Jinja2 compiles to something that makes a generator of a macro.
    included = nodes.Scope(body).find_all(nodes.Include)
    return "" if all(each.with_context for each in included) else "template"


def _leaves_loop(node: nodes.Node) -> bool:
    """Whether there is a ``{% break %}`` or ``{% continue %}`` of a loop that is outside."""
    if isinstance(node, nodes.For):
        return False
    is_one = isinstance(node, nodes.Break | nodes.Continue)
    return is_one or any(map(_leaves_loop, node.iter_child_nodes()))
