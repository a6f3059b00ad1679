"""From an observed change to what it makes stale, rule by rule."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import Any

from django.db.models import Model

from cache_invalidation.connections import shielded
from cache_invalidation.rules.catalog import all_rows, related_tags
from cache_invalidation.rules.code import FromCode
from cache_invalidation.rules.declarations import Change, links_to, shares_key
from cache_invalidation.rules.differences import changes_only, may_have_changed
from cache_invalidation.rules.loading import in_column, with_columns
from cache_invalidation.rules.plans import Plan
from cache_invalidation.rules.registry import registry
from cache_invalidation.rules.rule import Rule
from cache_invalidation.rules.templates import Template, key_as_stored, resolvers_for
from cache_invalidation.tags import (
    ROOT,
    every_row_tag,
    relations_tag,
    row_tag,
    shorten,
    volatile_tag,
)

logger = logging.getLogger("cache_invalidation")


@dataclass(slots=True, kw_only=True)
class Consequence:
    """What one rule makes of one change."""

    rule: Rule
    change: Change
    tags: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    # The tags of the row, of the model and of `track` that stay, since what changed is ignored.
    spared: set[str] = field(default_factory=set)
    # Those that stay since what changed has tags of its own: relations, and what is volatile.
    apart: set[str] = field(default_factory=set)
    # The templates that do not count: none of the fields has changed that they are about.
    unfired: list[Template] = field(default_factory=list)
    # What the rule's code cannot say of rows that are not known, and what is done about it.
    notes: list[str] = field(default_factory=list)
    # Whether that is nothing at all: there may be plain keys of which nobody knows the names.
    loses_keys: bool = False

    def __bool__(self) -> bool:
        """Whether anything is stale."""
        return bool(self.tags or self.keys or self.patterns)


def consequences(change: Change) -> Iterator[Consequence]:
    """Yield what each rule that `change` fires makes stale.

    Never raises for what a rule of the project does: a template that cannot be resolved stands for
    all its values, code that raises makes everything stale, and both are logged.
    """
    plan = registry.plan(change.model)
    for rule in plan.own:
        yield _apply(rule, _of_row_in(rule.model, change), plan)
    for rule in plan.inherited:
        yield from _apply_to_child(rule, change, plan)
    for rule in plan.siblings:
        yield from _apply_to_sibling(rule, change, plan)


def _apply_to_sibling(rule: Rule, change: Change, plan: Plan) -> Iterator[Consequence]:
    """Apply the rule of another child of the same parent, of which there may be a row as well.

    Whether there is, and what is in it, only a query could tell, and it is rare. A row that is
    created or deleted brings or takes its parents' along, which is told as such.
    """
    names, same_key = _shared(change.model, rule.model)
    if change.operation in ("create", "delete") or (
        change.fields is not None and names.isdisjoint(change.fields)
    ):
        return
    key = change.pk if same_key else None
    yield _apply(rule, replace(change, model=rule.model, pk=key, old=None, new=None), plan)


@cache
def _shared(model: type[Model], sibling: type[Model]) -> tuple[frozenset[str], bool]:
    """Return the names of what two children have from the same parents, and whether the key is.

    These are those of columns, and of many-to-many relations.
    """
    parents = [parent for parent in model._meta.all_parents if issubclass(sibling, parent)]
    fields: Iterable[Any] = chain.from_iterable(
        parent._meta.get_fields(include_hidden=True) for parent in parents
    )
    names = [field.name for field in fields if field.concrete or field.many_to_many]
    same_key = all(shares_key(child, parent) for child in (model, sibling) for parent in parents)
    return frozenset(names), same_key


def _of_row_in(parent: type[Model], change: Change) -> Change:
    """Return `change` with the primary key of its row in the table of `parent`, None if unknown.

    A multi-table parent may be keyed by a column of its own.
    """
    if change.model is parent or change.pk is None or shares_key(change.model, parent):
        return change
    key = parent._meta.pk.attname
    return replace(
        change, pk=getattr(change.instances[-1], key, None) if change.instances else None
    )


def _apply(rule: Rule, change: Change, plan: Plan) -> Consequence:
    """Apply `rule` to `change`, whose primary key is that of the row in the table of the rule."""
    result = Consequence(rule=rule, change=change, tags={rule.model_tag, _row_tag(rule, change)})
    if change.operation != "m2m":
        _add_tracked(result)
    elif rule.model_tag in related_tags():  # Nothing of the row itself.
        result.tags, result.apart = set(map(relations_tag, result.tags)), result.tags
    # Both is said of the rows, whichever of their rules says it.
    if (ignored := plan.ignore.get(rule.model)) and changes_only(rule, change, ignored):
        result.tags, result.spared = set(), result.tags
    elif rule.model in plan.volatile and changes_only(rule, change, plan.passing(rule.model)):
        result.tags, result.apart = set(map(volatile_tag, result.tags)), result.tags
    if rule.defect is not None:
        logger.error(
            "%r cannot be used (%s); invalidating everything", rule.declaration, rule.defect
        )
        result.tags.add(ROOT)
    if rule.ignore and result.spared and changes_only(rule, change, rule.ignore):
        result.unfired += rule.templates
        return result
    fires = may_have_changed(change, rule.fields)
    for template in rule.templates:
        own = template.fields
        if fires if own is None else may_have_changed(change, own):
            _add_rendered(result, template)
        else:
            result.unfired.append(template)
    if rule.code and fires:
        named = FromCode(rule, change)
        result.tags |= named.tags
        result.keys |= named.keys
        result.patterns |= named.patterns
        result.notes += named.notes
        result.loses_keys = named.loses_keys
    return result


def _apply_to_child(rule: Rule, change: Change, plan: Plan) -> Iterator[Consequence]:
    """Apply the rule of a multi-table child, whose table was not written, to a parent's change.

    Where the child has a key of its own, only a query could tell which row it is.
    """
    same_key = shares_key(rule.model, change.model)
    if change.pk is None or not plan.needs_state or (same_key and not rule.needs_state):
        key = change.pk if same_key else None
        yield _apply(rule, replace(change, model=rule.model, pk=key, old=None, new=None), plan)
        return
    # The caller holds the lock on the parent's row; the child's own row is not being written, so
    # its state before and after differ in the columns of the parent alone.
    link = "__".join(link.name for link in links_to(rule.model, change.model))
    with shielded(change.using):
        found = all_rows(rule.model, change.using).filter(**{link: change.pk})
        child = found.first()
        # Its row may be left when that of its parent, which is asked for along with it, is gone.
        is_left = child is None and change.operation == "delete"
        key = found.values_list("pk", flat=True).first() if is_left else None
    if child is None:
        if key is not None:
            unknown = replace(change, model=rule.model, pk=key, old=None, new=None)
            yield _apply(rule, unknown, plan)
        return
    states = [_with_values_of(child, state) for state in (change.old, change.new)]
    of_child = replace(change, model=rule.model, pk=child.pk, old=states[0], new=states[1])
    yield _apply(rule, of_child, plan)


def _with_values_of(child: Model, parent: Model | None) -> Model | None:
    if parent is None:
        return None
    columns = parent._meta.concrete_fields
    return with_columns(child, {column.attname: in_column(parent, column) for column in columns})


def _row_tag(rule: Rule, change: Change) -> str:
    if change.pk is None:
        return every_row_tag(rule.model)
    if type(change.pk) is int and change.model is rule.model:
        return f"{rule.model_tag}:{change.pk}"  # The same as below, for what is common.
    return shorten(row_tag(rule.model, key_as_stored(rule.model, change.pk)))


def _add_tracked(result: Consequence) -> None:
    for column, template in result.rule.tracked.items():
        held = result.change.links.get(column)
        if held is None:
            _add_rendered(result, template)
        else:
            resolvers = ({column.attname: value}.__getitem__ for value in held)
            result.tags.update(map(template.render, resolvers))


def _add_rendered(result: Consequence, template: Template) -> None:
    targets = {"tag": result.tags, "key": result.keys, "pattern": result.patterns}
    change = result.change
    if not template.paths:
        targets[template.kind].add(template.source)
        return
    try:
        if change.pk is not None and template.paths <= result.rule.key_paths:
            key = key_as_stored(result.rule.model, change.pk)
            rendered = {template.render(lambda _: key)}
        else:
            states = _states_for(template, result)
            with shielded(change.using):
                rendered = {
                    template.render(resolve) for state in states for resolve in resolvers_for(state)
                }
    except Exception:
        logger.exception(
            "%r of %r cannot be resolved; invalidating all its values",
            template,
            result.rule.declaration,
        )
        rendered = set()
    if rendered:
        targets[template.kind].update(rendered)
    else:
        collapsed = template.collapsed()
        targets["pattern" if template.kind == "key" else template.kind].add(collapsed)


def _states_for(template: Template, result: Consequence) -> tuple[Model, ...]:
    """Return all states of the row that `template` is rendered for; none if not all are known.

    Of a row that was created nobody may know the key, and all the rest.
    """
    change = result.change
    if change.is_known:
        return change.instances
    if change.operation == "create" and template.paths <= result.rule.value_paths:
        return () if change.new is None else (change.new,)
    return ()


def say(consequence: Consequence) -> None:
    """Log, once for each rule, what its code cannot say, unless `families` says it."""
    rule = consequence.rule
    if rule.families is not None and ROOT not in consequence.tags:
        return
    for note in consequence.notes:
        if note not in rule.said:
            rule.said.add(note)
            logger.warning("%r: %s.", rule.declaration, note)
