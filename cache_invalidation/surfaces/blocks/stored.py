"""Blocks as they are kept in the cache."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.utils.safestring import SafeString

from cache_invalidation.surfaces.framing import Framed

NOTHING: Final[Mapping[Any, Any]] = {}

#: Values that are kept as they are.
PLAIN: Final = (str, SafeString, int, float, bool, type(None))


class Block(NamedTuple):
    """What a block was rendered to, and what it leaves for what is rendered after it."""

    text: str
    # Names that it has set, with their values; and those whose values cannot be kept.
    names: Mapping[str, Any] = NOTHING
    further: tuple[str, ...] = ()
    # How often each of its cycles, by number, was asked.
    cycles: Mapping[int, int] = NOTHING


def _pack(block: Block) -> tuple[Any, bytes]:
    about = None
    if block.names or block.further or block.cycles:
        names = [(name, type(held) is SafeString, held) for name, held in block.names.items()]
        about = names, block.further, list(block.cycles.items())
    return about, block.text.encode(errors="surrogatepass")


def _unpack(about: Any, text: bytes) -> Block:
    shown = SafeString(text.decode(errors="surrogatepass"))
    if about is None:
        return Block(shown)
    names, further, cycles = about
    kept = {name: SafeString(held) if is_safe else held for name, is_safe, held in names}
    return Block(shown, kept, tuple(further), dict(cycles))


#: How blocks are kept.
CODEC: Final = Framed(b"\x00ci block", _pack, _unpack)
