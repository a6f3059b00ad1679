"""Which versions are asked for at once, because they were needed the last time.

Being wrong costs a round trip, and so does knowing nothing.
"""

from typing import Final

LIMIT: Final = 10_000  # entries of which it is remembered

#: The tags that an entry turned out to depend on besides those declared, by key: their versions
#: are asked for along with the entry.
hints: dict[str, tuple[str, ...]] = {}

#: Those whose versions were conditions for storing it: asked for along with what is missing.
conditions_met: dict[str, tuple[str, ...]] = {}


def remember(kept: dict[str, tuple[str, ...]], key: str, tags: tuple[str, ...]) -> None:
    """Keep `tags` of an entry in one of these."""
    if len(kept) >= LIMIT:
        kept.clear()
    kept[key] = tags


def remember_further(key: str, tags: tuple[str, ...], *, records: bool) -> None:
    """Keep the `tags` that an entry turned out to depend on; of what `records`, also none."""
    # Of what is recorded it has to be known as well that there is nothing further.
    if hints.get(key, None if records else ()) != tags:
        remember(hints, key, tags)


def forget() -> None:
    """Know nothing, as a process that has just begun."""
    hints.clear()
    conditions_met.clear()
