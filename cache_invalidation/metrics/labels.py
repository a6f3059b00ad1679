"""Tags by kind, so that there are few of them to count by."""

from collections.abc import Iterable

from cache_invalidation.tags import ROOT


def label(tag: str) -> str:
    """Return `tag`, with ``{}`` for the value or the arguments in it.

    ``shop.product:{}`` is any one row, ``shop.product:*`` is "some rows, it is not known which".
    """
    head, colon, rest = tag.partition(":")
    if colon:
        return tag if rest == ROOT else f"{head}:{{}}"
    if tag.endswith(")") and not tag.endswith("()"):
        return f"{tag.rpartition('(')[0]}({{}})"
    return tag


def labels(tags: Iterable[str]) -> frozenset[str]:
    """Return the labels of `tags`."""
    return frozenset(map(label, tags))
