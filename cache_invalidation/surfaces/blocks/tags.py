"""The tags ``{% cached %}`` and ``{% cache %}`` of Django's templates, as they are parsed."""

from datetime import timedelta
from functools import cached_property
from typing import Any

from django.conf import settings as django_settings
from django.template import Context, Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token, VariableDoesNotExist
from django.template.defaulttags import CycleNode
from django.utils.safestring import SafeString

from cache_invalidation.reads.options import checked_timeout
from cache_invalidation.reads.read import DEFAULT, Default
from cache_invalidation.stores.near import take_into_use
from cache_invalidation.surfaces.blocks.rendering import rendered
from cache_invalidation.surfaces.inputs.trail import digest

Timeout = float | Default | None


class CachedNode(Node):
    """A block that is kept in the cache."""

    tag = "cached"

    def __init__(
        self,
        nodelist: NodeList,
        about: str,
        timeout: FilterExpression | None,
        fragment: str = "",
        vary_on: list[FilterExpression] | None = None,
        *,
        near: bool = False,
    ) -> None:
        self.nodelist = nodelist
        self.about = about
        self.fragment = fragment
        self._timeout = timeout
        self._vary_on = vary_on or []
        self.near = near
        if near:
            take_into_use()

    @cached_property
    def cycles(self) -> list[CycleNode]:
        """The ``{% cycle %}`` nodes inside of the block, each once."""
        found: list[Any] = self.nodelist.get_nodes_by_type(CycleNode)
        return list(dict.fromkeys(found))

    def render(self, context: Context) -> SafeString:
        """Return what the block is rendered to, from the cache if it is there."""
        timeout = DEFAULT if self._timeout is None else self._lifetime(self._timeout, context)
        given = [each.resolve(context) for each in self._vary_on]
        if isinstance(timeout, int | float) and timeout <= 0:
            return self.nodelist.render(context)
        return rendered(self, context, timeout, given)

    def _lifetime(self, timeout: FilterExpression, context: Context) -> Timeout:
        try:
            value = timeout.resolve(context)
        except VariableDoesNotExist:
            raise TemplateSyntaxError(
                f'"{self.tag}" tag got an unknown variable: {timeout.var!r}'
            ) from None
        return self._seconds(value)

    def _seconds(self, value: Any) -> Timeout:
        if isinstance(value, timedelta):
            value = value.total_seconds()
        try:
            found = float(value) if value is not None else None
            return found if found is not None and found <= 0 else checked_timeout(found)
        except (ValueError, TypeError):
            raise TemplateSyntaxError(
                f'"{self.tag}" tag got a timeout that is no number of seconds: {self._timeout} is '
                f"{value!r}. The timeout comes first, then the name."
            ) from None


class CacheNode(CachedNode):
    """A block as Django's own tag has it, which takes whole seconds."""

    tag = "cache"

    def __init__(self, *args: Any, using: FilterExpression | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._using = using

    def render(self, context: Context) -> SafeString:
        """Do what `CachedNode` does. Of ``using`` nothing is asked but that there is such a cache.

        All blocks are where their versions are.
        """
        if self._using is not None:
            alias = self._using.resolve(context)
            if alias not in django_settings.CACHES:
                raise TemplateSyntaxError(f"Invalid cache name specified for cache tag: {alias!r}")
        return super().render(context)

    def _seconds(self, value: Any) -> Timeout:
        try:
            return super()._seconds(None if value is None else int(value))
        except (ValueError, TypeError):
            raise TemplateSyntaxError(
                f'"cache" tag got a non-integer timeout value: {value!r}'
            ) from None


def parse_cached(parser: Parser, token: Token) -> CachedNode:
    """Parse ``{% cached [timeout] [name] [further inputs …] [near=True] %} … {% endcached %}``."""
    nodelist, about = _parse_until(parser, "endcached")
    tag, *words = token.split_contents()
    near = _take_near(tag, words)
    if words and words[-1] == "near":
        raise TemplateSyntaxError(
            f'"{tag}" tag got near as the last word: write near=True to keep the block in the '
            "memory of processes. A name or a variable has to be called otherwise."
        )
    return CachedNode(
        nodelist,
        about,
        parser.compile_filter(words[0]) if words else None,
        words[1] if len(words) > 1 else "",
        [parser.compile_filter(word) for word in words[2:]],
        near=near,
    )


def parse_cache(parser: Parser, token: Token) -> CacheNode:
    """Parse what Django's tag takes, and ``near=True``.

    ``{% cache timeout name [further inputs …] [using="alias"] [near=True] %} … {% endcache %}``
    """
    nodelist, about = _parse_until(parser, "endcache")
    words = token.split_contents()
    near = _take_near(words[0], words)
    if len(words) < 3:
        raise TemplateSyntaxError(f"'{words[0]!r}' tag requires at least 2 arguments.")
    using = None
    if len(words) > 3 and words[-1].startswith("using="):
        using = parser.compile_filter(words.pop().removeprefix("using="))
    vary_on = [parser.compile_filter(word) for word in words[3:]]
    timeout = parser.compile_filter(words[1])
    return CacheNode(nodelist, about, timeout, words[2], vary_on, using=using, near=near)


def _take_near(tag: str, words: list[str]) -> bool:
    """Take ``near=True`` from the end of `words`, and tell if it was there; else it is an error."""
    near = bool(words) and words[-1] == "near=True"
    if near:
        words.pop()
    for word in words:
        # A name or a further input else, and nobody would notice that nothing is near.
        if word.lower().startswith("near="):
            raise TemplateSyntaxError(
                f'"{tag}" tag got {word}: near=True has to be the last word, and spelled like '
                "that. Leave it out to have the block in the cache only."
            )
    return near


def _parse_until(parser: Parser, end: str) -> tuple[NodeList, str]:
    """Return the nodes of a block, and what stands for its text and for the tags it can use."""
    before: list[Any] = list(parser.tokens)
    nodelist = parser.parse((end,))
    parser.delete_first_token()
    text = [f"{each.token_type}{each.contents}" for each in before[len(parser.tokens) :]]
    means = [f"{name}={_name_of(each)}" for name, each in sorted(parser.tags.items())]
    means += [f"{name}={_name_of(each)}" for name, each in sorted(parser.filters.items())]
    # With its place: another block of this text may go on with another cycle.
    return nodelist, digest("\0".join([str(len(before)), *text, *means]))


def _name_of(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"
