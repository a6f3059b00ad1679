"""`invalidate`: for what no signal tells."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager

from cache_invalidation.delivery.fencing import batch_of
from cache_invalidation.metrics.counters import counters
from cache_invalidation.rules.consequences import consequences, say
from cache_invalidation.rules.declarations import Change
from cache_invalidation.tags import Invalidation, check_star, table_of


def invalidate(
    target: Model | type[Model] | QuerySet[Any] | None = None,
    /,
    *others: Any,
    tags: Iterable[str] = (),
    keys: Iterable[str] = (),
    patterns: Iterable[str] = (),
    using: str | None = None,
    everything: bool = False,
    entity_type: str | None = None,
    cause: str = "manual",
) -> Invalidation:
    """Make stale whatever depends on `target` and on the names given; return all that was named.

    `target` is an instance, as if it had been saved, a model, as if all its rows had been, or a
    queryset, as if each row in it had been. Rules see an instance as it is in memory: if the row
    was something else before, name what depends on that as well. Inside a transaction on the
    database `using` this happens at its COMMIT, and not at all after a rollback; outside of one it
    happens at once. A store that fails is logged and counted, not raised.

    Raises `ValueError` for a name that is empty, not a string, longer than 250 characters or has
    control characters, for a tag with a star that stands for no family, such as ``category:4*``,
    and for a pattern that matches every key unless `everything` is set.
    """
    if others:
        raise TypeError(
            "invalidate() takes one model, instance or queryset at a time: call it for each, in "
            "one transaction if they belong together."
        )
    if using is not None:
        connections[using]  # Which raises ConnectionDoesNotExist, and says what is wrong.
    named = Invalidation(tags=tags, keys=keys, patterns=patterns, everything=everything)
    for tag in named.tags:
        check_star(tag)
    changes = list(_changes(target, using))
    if target is None and not named:
        raise ValueError(
            "invalidate() needs a model, an instance, a queryset, tags, keys or patterns, and its "
            "target is None."
        )
    alias = using or (changes[0].using if changes else DEFAULT_DB_ALIAS)
    by_change = [list(consequences(change)) for change in changes]
    found = list(chain.from_iterable(by_change))
    everything_named = Invalidation(
        tags=named.tags.union(*(c.tags for c in found)),
        keys=named.keys.union(*(c.keys for c in found)),
        patterns=named.patterns.union(*(c.patterns for c in found)),
        entity_type=entity_type or (found[0].rule.entity_type if found else "manual"),
        cause=cause,
        everything=everything,
    )
    with batch_of(alias) as batch:
        for consequence in found:
            say(consequence)
            if consequence.loses_keys:
                counters.update({"failed": 1})
        for each in by_change:  # Several rules of a model tell of one thing.
            for counted in dict.fromkeys(consequence.rule.entity_type for consequence in each):
                batch.count(counted, cause)
        if named:
            batch.count(entity_type or "manual", cause)
        batch.take(everything_named)
    return everything_named


def _changes(target: Any, using: str | None) -> Iterable[Change]:
    if target is None:
        return
    if isinstance(target, QuerySet):
        for instance in target:
            yield _change(instance, using or target.db)
    elif isinstance(target, Model):
        if target.pk is None:
            raise ValueError(f"{target!r} is not saved, so nothing can depend on it.")
        yield _change(target, using or router.db_for_write(type(target), instance=target))
    elif isinstance(target, type) and issubclass(target, Model):
        yield Change(
            model=table_of(target),
            operation="manual",
            using=using or router.db_for_write(target),
        )
    else:
        raise TypeError(
            f"invalidate() takes a model, an instance or a queryset, not {target!r}; "
            + (
                "add .all()."
                if isinstance(target, BaseManager)
                else "names go to tags=, keys= and patterns=. All values of a cached function have "
                "its name with brackets as a tag; pages go by invalidate_page()."
            )
        )


def _change(instance: Model, using: str) -> Change:
    model = table_of(type(instance))
    return Change(model=model, operation="manual", using=using, pk=instance.pk, new=instance)
