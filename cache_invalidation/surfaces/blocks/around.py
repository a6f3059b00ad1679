"""What there is to look at from a block, by the names of inputs.

``name.product`` is what the context holds under that name, ``names`` is all that it holds,
``loop.counter`` an item of the ``forloop`` that the block is in. ``template.0.shop/row.html`` is
the source of a template, ``blocks`` what templates that extend others have put into their blocks.
``cycle.0`` is whether a ``{% cycle %}`` of the block has begun. The rest are those of a request.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from django.contrib.messages.storage.base import BaseStorage
from django.http import HttpRequest
from django.template import Context, Engine, NodeList
from django.template.base import Origin
from django.template.defaulttags import CycleNode
from django.template.loader_tags import BLOCK_CONTEXT_KEY, BlockNode
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language

from cache_invalidation.reads.dependencies import apart
from cache_invalidation.reads.spelling import full_name
from cache_invalidation.surfaces.blocks.sources import source_at, source_now, tell
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray
from cache_invalidation.surfaces.pages.outlook import ABSENT, Outlook
from cache_invalidation.surfaces.pages.requests import tell as tell_of_request
from cache_invalidation.surfaces.pages.swapping import held_by

#: Names of what is made for one visit; touching it says nothing, evaluating it does.
SECRETS: Final[Mapping[str, str]] = {
    "csrf_token": "csrf",
    "csp_nonce": "nonce",
    "CSP_NONCE": "nonce",
}

#: What each context begins with.
CONSTANTS: Final[Mapping[str, Any]] = {"True": True, "False": False, "None": None}

#: What Django itself keeps on a context, beside what is asked for by name.
_OF_DJANGO: Final = frozenset(
    {
        *("dicts", "render_context", "template", "template_name", "request"),
        *("autoescape", "use_l10n", "use_tz", "_processors", "_processors_index"),
    }
)

MISSING: Final = object()


class Momentary(Opaque):
    """Something that is what it is at this moment of rendering, for `reason`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Cacheable(Protocol):
    """The node of a block, as far as it matters what is around it."""

    nodelist: NodeList
    origin: Origin

    @property
    def cycles(self) -> list[CycleNode]:
        """The ``{% cycle %}`` nodes inside of it."""


class Around:
    """What is around a block when its rendering begins."""

    def __init__(self, node: Cacheable, context: Context) -> None:
        self.dicts: list[Any] = list(context.dicts)
        self.frame: Any = context.render_context.dicts[-1]
        self._given = getattr(context, "request", None)
        self.request = self._request_of()
        self._node = node
        self._context = context
        self._templates = context.render_context.template, context.template
        self._engine: Engine = context.template.engine  # type: ignore[union-attr]

    def _request_of(self) -> HttpRequest | None:
        found = self._given
        if found is None:
            with apart():
                found = self.find("request")
        # By its type, since what is only like a request cannot record.
        return found if issubclass(type(found), HttpRequest) else None

    def kind_of_request(self) -> str:
        """Return how the context has a request, and whether it is one for a head only.

        What was made for the head of a page has the inputs of a GET otherwise. Raises `Opaque` for
        a request that cannot record, such as that of REST framework.
        """
        if self.request is None:
            if self._given is not None:
                raise Opaque(f"a {full_name(type(self._given))} cannot record what is looked at")
            return "none"
        return f"{self._given is not None} {is_for_head(self.request)}"

    @property
    def attributes(self) -> dict[str, Any]:
        """What somebody has put on the context, for tags to find."""
        return {k: held for k, held in vars(self._context).items() if k not in _OF_DJANGO}

    def manner(self) -> tuple[Any, ...]:
        """Return how the context is rendered, so that one sees whether that has changed."""
        how = self._context.autoescape, self._context.use_l10n, self._context.use_tz
        return *how, get_language(), get_current_timezone()

    def find(self, name: str) -> Any:
        """Return what the context holds under `name`, or `MISSING`."""
        for held in reversed(self.dicts):
            if name in held:
                return held[name]
        return MISSING

    def names(self) -> Iterator[str]:
        """Iterate over all names that the context holds."""
        found = dict.fromkeys(name for held in self.dicts for name in held)
        return iter([name for name in found if name not in CONSTANTS])

    def current(self, name: str) -> str:
        """Return what the input `name` is now, as text.

        Raises `Opaque` if nobody can tell, and what evaluating it raises.
        """
        kind, _, rest = name.partition(".")
        look = _KINDS.get(kind)
        return of_request(self.request, name) if look is None else look(self, rest)

    def source(self, origin: Origin) -> str:
        """Return the digest of the source of what is rendered and came from `origin`."""
        found = source_at(self._engine, origin, self._templates)
        if found is None:
            raise Momentary("template", f"the source of {origin} is not to be found")
        return found

    def is_of(self, engine: Engine) -> bool:
        """Whether a template that `engine` was asked for can be asked for again."""
        return engine is self._engine

    def _name(self, name: str) -> str:
        found = self.find(name)
        if found is MISSING:
            return ABSENT
        if name in SECRETS:
            return portray(found is None)
        if name == "forloop" and isinstance(found, Mapping):
            return "a loop"  # Its items are inputs of their own.
        if name == "block" and isinstance(found, BlockNode):
            return found.name
        return portray_for(self.request, found)

    def _names(self, rest: str) -> str:
        return portray([(name, self._name(name)) for name in self.names()])

    def _loop(self, path: str) -> str:
        found = self.find("forloop")
        for part in path.split(".") if path else ():
            if not (isinstance(found, Mapping) and part in found):
                return ABSENT
            found = found[part]
        return portray(dict(found) if isinstance(found, Mapping) else found)

    def _template(self, rest: str) -> str:
        skipped, _, name = rest.partition(".")
        tell(self._engine, name, int(skipped))
        return source_now(self._engine, name, int(skipped))

    def _blocks(self, rest: str) -> str:
        if BLOCK_CONTEXT_KEY not in self.frame:
            return ABSENT
        chains = self.frame[BLOCK_CONTEXT_KEY].blocks
        return portray(
            {
                name: [(str(node.origin), self.source(node.origin)) for node in chain]
                for name, chain in chains.items()
            }
        )

    def _cycle(self, number: str) -> str:
        if self._node.cycles[int(number)] in self.frame:
            raise Momentary("state", "a cycle goes on that has begun outside")
        return ABSENT


def is_for_head(request: HttpRequest) -> bool:
    """Whether it is for the head of a page only; see `Around.kind_of_request`."""
    return bool(held_by(request).get("method") == "HEAD")


def portray_for(request: HttpRequest | None, found: Any) -> str:
    """Return the portrait of what a context holds that is rendered for `request`.

    Of that, what is looked at are inputs of their own; and messages are shown once.
    """
    if isinstance(found, HttpRequest):
        if found is not request:
            raise Opaque("it is another request")
        return "the request"
    if isinstance(found, BaseStorage):
        if len(found):
            raise Momentary("messages", "it shows messages")
        return "no messages"
    return portray(found)


def of_request(request: HttpRequest | None, name: str) -> str:
    """Return what the input `name` of a request is now; let those know who record it."""
    if request is None:
        raise Opaque("there is no request")
    tell_of_request(request, name)
    return Outlook(request).current(name)


_KINDS: Final[Mapping[str, Callable[[Around, str], str]]] = {
    "name": Around._name,
    "names": Around._names,
    "loop": Around._loop,
    "template": Around._template,
    "blocks": Around._blocks,
    "cycle": Around._cycle,
}
