"""What `invalidation.py` declares."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field

from cache_invalidation.checks.cache import backend, store
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.rules.catalog import is_spelled_alike
from cache_invalidation.rules.declarations import ModelInvalidation
from cache_invalidation.rules.registry import registry
from cache_invalidation.rules.rule import Rule, field_names, is_written
from cache_invalidation.rules.templates import has_column, problem_with


@register()
def check_rules(**kwargs: Any) -> Messages:
    """E006 to E009: templates, the fields they name, `fields` and `track`."""
    for rule in registry.all_rules:
        yield from _check_rule(rule)


def _check_rule(rule: Rule) -> Messages:
    owner = type(rule.declaration)
    if rule.defect is not None:
        yield Error(
            str(rule.defect),
            hint=f"tags, keys and patterns of {owner.__qualname__} are lists of strings such as "
            "'category:{category_id}'. None of them is used until this is mended.",
            obj=owner,
            id="cache_invalidation.E006",
        )
    for template in rule.templates:
        for path in sorted(template.paths):
            if problem := problem_with(path, rule.model):
                yield Error(
                    f"The {template.kind} {template.source!r} names {path!r}, but {problem}.",
                    hint=f"Name a field or property of {rule.model._meta.label}, follow relations "
                    "with '__', or override get_tags().",
                    obj=owner,
                    id="cache_invalidation.E007",
                )
    for option in ("fields", "track", "ignore", "volatile"):
        named = getattr(rule.declaration, option)
        if isinstance(named, str) or not (named is None or isinstance(named, Iterable)):
            problem = f"{option} is {named!r}, which is no list of names."
            written = repr(named) if isinstance(named, str) else "'name'"
            yield _no_field(owner, problem, f"Write {option} = [{written}].")
            continue
        for name in sorted(named or ()):
            yield from _check_field(rule, option, name)
    for template in rule.templates:
        for name in sorted(template.fields or ()):
            yield from _check_field(rule, f"{template.kind.title()}({template.source!r})", name)


def _no_field(rule: type[ModelInvalidation], problem: str, hint: str) -> CheckMessage:
    return Error(problem, hint=hint, obj=rule, id="cache_invalidation.E008")


# What is said of the fields that these options name.
_CHANGING: Final = {
    "ignore": "whose changes nobody waits for",
    "volatile": "that change more often than the rest",
}


def _check_field(rule: Rule, option: str, name: str) -> Messages:
    owner, label = type(rule.declaration), rule.model._meta.label
    try:
        field: Any = rule.model._meta.get_field(name)
    except FieldDoesNotExist:
        problem = f"{option} names {name!r}, but {label} has no such field."
        yield _no_field(owner, problem, "Name fields of the model, or leave the option out.")
        return
    if option == "track" and not is_spelled_alike(field):
        yield Error(
            f"track names {name!r}, but queries spell values of {label}.{name} in another way than "
            "instances do, or it has no column.",
            hint="Integers, texts without a collation of their own, UUIDs and foreign keys to "
            "these can be tracked.",
            obj=owner,
            id="cache_invalidation.E009",
        )
    is_plain = has_column(field) and field not in rule.model._meta.pk_fields
    if option in _CHANGING and not is_plain:
        what = "is the primary key" if has_column(field) else "has no column"
        problem = f"{option} names {name!r}, but {label}.{name} {what}."
        yield _no_field(owner, problem, f"Name columns of the row {_CHANGING[option]}.")
    names = () if option in ("track", *_CHANGING) else field_names(rule.model, [name])
    if not all(is_written(rule.model, each) for each in names):
        problem = f"{option} names {name!r}, but {label}.{name} is in the rows of another model."
        yield _no_field(owner, problem, "Declare in a rule of that model what it makes stale.")


@register()
def check_ignored(**kwargs: Any) -> Messages:
    """W028: fields that a rule ignores, and asks for all the same."""
    for rule in registry.all_rules:
        tracked = chain.from_iterable(
            each.track for each in registry.all_rules if each.model is rule.model
        )
        for what, names in _named_by(rule, tracked):
            if found := sorted(field_names(rule.model, names) & rule.ignore):
                yield Warning(
                    f"{what} names {', '.join(found)}, which {type(rule.declaration).__qualname__} "
                    "ignores: nothing is dropped if nothing else changes.",
                    hint="Take the field out of ignore; or declare what it makes stale in another "
                    "rule of the model, which does not ignore it.",
                    obj=type(rule.declaration),
                    id="cache_invalidation.W028",
                )


def _named_by(
    rule: Rule, tracked: "Iterable[Field[Any, Any]]"
) -> Iterator[tuple[str, Collection[str]]]:
    """Yield what a rule declares, and the fields of its model that are named there."""
    yield "fields", rule.fields or ()
    for template in rule.templates:
        paths = {path.partition("__")[0] for path in template.paths}
        yield f"the {template.kind} {template.source!r}", paths | (template.fields or set())
    for column in tracked:
        yield "track", {column.name}


@register()
def check_attributes(**kwargs: Any) -> Messages:
    """E016: attributes that look like one of `ModelInvalidation`, and are none."""
    for rule in dict.fromkeys(type(rule.declaration) for rule in registry.all_rules):
        for name, meant in _misspelled(rule):
            yield Error(
                f"{rule.__qualname__} has an attribute {name!r}, which nobody looks at.",
                hint=f"Did you mean {meant!r}? Otherwise give it another name, or one that begins "
                "with an underscore.",
                obj=rule,
                id="cache_invalidation.E016",
            )


def _misspelled(rule: type[ModelInvalidation]) -> Iterator[tuple[str, str]]:
    known = [name for name in vars(ModelInvalidation) if not name.startswith("_")]
    own = [kind for kind in rule.__mro__ if kind not in ModelInvalidation.__mro__]
    for name in sorted({name for kind in own for name in vars(kind)} - {*known}):
        meant = get_close_matches(name.lower(), known, 1, 0.8)
        if meant and not name.startswith("_"):
            yield name, meant[0]


@register()
def check_families(**kwargs: Any) -> Messages:
    """E015, W023 and W024: what the code of rules stands for where rows are not known."""
    for rule in registry.all_rules:
        yield from _check_code(rule)


def _check_code(rule: Rule) -> Messages:
    owner, label = type(rule.declaration), rule.model._meta.label
    if rule.families_defect is not None:
        yield Error(
            rule.families_defect,
            hint=f"families of {owner.__qualname__} is a list of names such as 'category', for "
            "tags such as 'category:3'.",
            obj=owner,
            id="cache_invalidation.E015",
        )
    elif rule.families is None and "get_tags" in rule.code:
        yield Warning(
            f"get_tags() cannot name the tags of rows of {label} that are not known, so writes "
            "such as raw SQL drop everything.",
            hint="Declare the families of the tags that it names: families = ['category'] for "
            "'category:3'; or families = [] if it names all without seeing a row.",
            obj=owner,
            id="cache_invalidation.W023",
        )
    if rule.families is None and (names := [name for name in rule.code if name != "get_tags"]):
        yield Warning(
            f"{'() and '.join(names)}() cannot name the keys of rows of {label} that are not "
            "known, so writes such as raw SQL drop everything, and keys that are not tracked stay.",
            hint="Write keys and patterns with placeholders, which stand for all values there; or "
            "declare the families of the keys: families = ['detail'] for 'detail:3'.",
            obj=owner,
            id="cache_invalidation.W024",
        )


@register()
def check_patterns(**kwargs: Any) -> Messages:
    """E010: patterns on a cache where no key can be found by one."""
    why = _why_no_patterns()
    if why is None:
        return
    for rule in registry.all_rules:
        patterns = [t.source for t in rule.templates if t.kind == "pattern"]
        for pattern in [*patterns, *sorted(rule.key_families)]:
            yield Error(
                f"The pattern {pattern!r} can never be deleted: {why}.",
                hint="Name each key in `keys`, or cache with `cached` and a tag. django-redis "
                "and LocMem can list their keys.",
                obj=type(rule.declaration),
                id="cache_invalidation.E010",
            )


def _why_no_patterns() -> str | None:
    found, cache = store(), backend()
    if found is None or cache is None:
        return None  # E001, E003 or E004.
    if not found.supports_patterns:
        return f"the cache {found.alias!r} cannot list its keys"
    try:
        key, pattern = (str(cache.key_func(name, "", 1)) for name in ("ab", "a*"))
    except Exception:  # noqa: BLE001 - the project's own, which may need a request to answer
        return None
    if not fnmatchcase(key, pattern):
        return f"the KEY_FUNCTION of the cache {found.alias!r} does not leave names as they are"
    return None
