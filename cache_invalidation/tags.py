"""What is invalidated: tags, keys and patterns, and how they are spelled."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import Any

from django.db.models import Model

ROOT = "*"
ALONE = "%"  # In no tag of a row: there it is escaped.
# In no label of a model.
RELATIONS = "+m2m"
VOLATILE = "+volatile"
MAX_LENGTH = 250  # characters; also what Memcached allows
# Of what stands before the colon of a tag whose rest may be replaced by a digest.
MAX_HEAD = MAX_LENGTH - len(":~") - 32

# Surrogates cannot be encoded, and come from JSON that was cut in the middle of a character.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED = re.compile(r"[%*\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_BARE = re.compile(r"[:*{}]")
_GLOB = re.compile(r"([*?\[\]\\^])")


def check_name(name: Any, what: str = "tag") -> str:
    """Return `name`; raise `ValueError`, naming it, unless it can be used as a tag, key or pattern.

    It has to be a non-empty string of at most 250 characters without control characters or
    surrogates.
    """
    found = check_characters(name, what)
    if len(found) > MAX_LENGTH:
        raise ValueError(
            f"{_a(what)} must not be longer than {MAX_LENGTH} characters; "
            f"this one has {len(name)}: {name!r}."
        )
    return found


def check_characters(name: Any, what: str) -> str:
    """Apply `check_name`, but for the length."""
    if not isinstance(name, str):
        raise ValueError(f"{_a(what)} must be a string, not {name!r}.")
    if not name or name.isspace():
        raise ValueError(f"{_a(what)} must not be empty: {name!r}.")
    if _CONTROL.search(name):
        raise ValueError(f"{_a(what)} must not contain control characters or surrogates: {name!r}.")
    return name


def _a(what: str) -> str:
    return f"{'An' if what[0] in 'aeiou' else 'A'} {what}"


def check_names(names: Iterable[Any], what: str = "tag") -> tuple[str, ...]:
    """Apply `check_name` to each; a lone string is refused, since it would be taken apart."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise ValueError(f"{what.capitalize()}s must be a list of strings, not {names!r}.")
    return tuple(check_name(name, what) for name in names)


def check_written(name: Any, what: str = "tag") -> str:
    """Apply `check_name` to what somebody writes down: to a tag, `check_star` as well."""
    found = check_name(name, what)
    return check_star(found) if what == "tag" else found


def check_star(tag: str) -> str:
    """Return `tag`; raise `ValueError` for a star that is meant as a pattern, which no tag is.

    Where a value stands in a tag, `escape` leaves no star.
    """
    whole = family(tag)
    if "*" in tag.removesuffix("*" if tag in (ROOT, whole) else ""):
        is_cure = whole is not None and whole.count("*") == 1
        cure = f"write {whole!r} or each of the tags" if is_cure else "write each of the tags"
        raise ValueError(
            f"The tag {tag!r} is no pattern: a star is alone, for everything, or all that follows "
            f"the colon, for a family; {cure}. In a value it is spelled %2A."
        )
    return tag


def is_catch_all(pattern: str) -> bool:
    """Whether `pattern` matches every key there is."""
    return not pattern.strip("*?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """What stopped being true: tags, plain cache keys and key patterns.

    Raises `ValueError`, naming the offender, for a name that is empty, not a string, longer than
    250 characters or has control characters, and for a pattern that matches every key unless
    `everything` is set.
    """

    tags: frozenset[str] = field(default=frozenset())
    keys: frozenset[str] = field(default=frozenset())
    patterns: frozenset[str] = field(default=frozenset())
    entity_type: str | None = None
    cause: str = "manual"

    def __init__(
        self,
        *,
        tags: Iterable[str] = (),
        keys: Iterable[str] = (),
        patterns: Iterable[str] = (),
        entity_type: str | None = None,
        cause: str = "manual",
        everything: bool = False,
    ) -> None:
        for pattern in (patterns := check_names(patterns, "pattern")):
            if is_catch_all(pattern) and not everything:
                raise ValueError(
                    f"The pattern {pattern!r} would delete every key of the cache; "
                    "pass everything=True if that is what you want."
                )
        # A frozen dataclass whose arguments are wider than its attributes has to say so by hand.
        assign = object.__setattr__
        assign(self, "tags", frozenset(check_names(tags, "tag")))
        assign(self, "keys", frozenset(check_names(keys, "key")))
        assign(self, "patterns", frozenset(patterns))
        assign(self, "entity_type", entity_type)
        assign(self, "cause", cause)

    def __bool__(self) -> bool:
        return bool(self.tags or self.keys or self.patterns)


def table_of(model: type[Model]) -> type[Model]:
    """Return the model whose table holds the rows of `model`, which is another one for a proxy."""
    return model._meta.concrete_model or model


def model_tag(model: type[Model]) -> str:
    """Return the tag for "any row of this model"; proxies share the one of their table."""
    return _as_head(table_of(model)._meta.label_lower)


def column_tag(model: type[Model], attname: str) -> str:
    """Return what stands before the colon in the tags for the values of one column of `model`."""
    return _as_head(f"{model_tag(model)}.{attname}")


def _as_head(name: str) -> str:
    """Return `name`, or its beginning and a digest if no row, or value, would fit behind it."""
    if len(name) <= MAX_HEAD:
        return name
    digest = _digest(name)
    return f"{name[: MAX_HEAD - 1 - len(digest)]}~{digest}"


def row_tag(model: type[Model], pk: Any) -> str:
    """Return the tag for one row of `model`."""
    return f"{model_tag(model)}:{escape(pk)}"


def every_row_tag(model: type[Model]) -> str:
    """Return the family tag for "rows of this model of which it is not known which"."""
    return f"{model_tag(model)}:*"


def rows_alone_tag(model: type[Model]) -> str:
    """Return the tag that is dropped with one row of `model` where the tag of the model is not.

    By hand, or by the rule of another model: a write to the row itself drops both.
    """
    return f"{model_tag(model)}:{ALONE}"


def with_rows_alone(tags: Collection[str]) -> Collection[str]:
    """Return `tags`, and with those of rows whose model is not among them what says so."""
    heads = {
        head
        for tag in tags
        if (head := tag.partition(":")[0]) != tag and head.count(".") == 1 and head not in tags
    }
    return [*tags, *(f"{head}:{ALONE}" for head in sorted(heads))] if heads else tags


def relations_tag(tag: str) -> str:
    """Return what is dropped instead of `tag` where only many-to-many relations change.

    `tag` is that of a model, or of its rows. What was found to read these need not depend on it,
    since it depends on the table of the relation if it reads that.
    """
    return _apart(tag, RELATIONS)


def volatile_tag(tag: str) -> str:
    """Return what is dropped instead of `tag` where nothing changes but volatile fields.

    `tag` is that of a model, of its rows, or of a column that is tracked. What reads one of these
    fields depends on both.
    """
    return _apart(tag, VOLATILE)


def with_volatile(tags: Iterable[str]) -> frozenset[str]:
    """Return `tags`, and for each what is dropped instead of it where volatile fields change."""
    found = frozenset(tags)
    return found.union(map(volatile_tag, found))


def _apart(tag: str, what: str) -> str:
    head, colon, row = tag.partition(":")
    return shorten(f"{_as_head(head + what)}{colon}{row}")


def function_tag(name: str) -> str:
    """Return the tag for all values of the cached function `name`, whatever its arguments.

    Without a colon, since every hit would have to look at its family as well.
    """
    return f"{_as_head(escape(name).replace(':', '%3A'))}()"


def call_tag(name: str, digest: str) -> str:
    """Return the tag for all that is cached for one call of a function: for each language, say.

    `digest` stands for the arguments; without any, that is the tag of the function.
    """
    return f"{function_tag(name)[:-1]}{digest})"


def page_tag(name: str) -> str:
    """Return the tag for the pages of a view, by its name, or for those at a path."""
    return shorten(f"page:{escape(name)}")


def block_tags(template: str, fragment: str) -> tuple[str, ...]:
    """Return the tags for all blocks of a template, and for those with a name of their own."""
    of_template = f"block:{escape(template)}"
    further = [f"{of_template}:{escape(fragment)}"] if fragment else []
    return tuple(map(shorten, (of_template, *further)))


def family(tag: str) -> str | None:
    """Return the family tag that stands above `tag`, or None for a tag without a colon."""
    head, colon, _ = tag.partition(":")
    return f"{head}:*" if colon else None


def family_tags(names: Any) -> frozenset[str]:
    """Return the family tags of the families `names`; raise `ValueError`, saying what to write."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise ValueError(f"families is {names!r}; write a list, such as ['category'].")
    return frozenset(map(_family_tag, names))


def _family_tag(name: Any) -> str:
    if isinstance(name, str) and _NOT_BARE.search(name):
        head = _NOT_BARE.split(name)[0]
        cure = f"write {head!r}" if head else "name the part before the colon, such as 'category'"
        raise ValueError(f"families names {name!r}, which is not the bare name of one; {cure}.")
    return check_name(f"{check_name(name, 'family')}:*", "family")


def expand(tags: Iterable[str]) -> tuple[str, ...]:
    """Return, sorted, every tag that something which depends on `tags` depends on."""
    expanded = {ROOT, *tags}
    expanded.update([f"{tag.partition(':')[0]}:*" for tag in expanded if ":" in tag])
    return tuple(sorted(expanded))


def collapse(tags: Iterable[str], limit: int) -> frozenset[str]:
    """Return `tags` with every family that has more than `limit` members as its family tag."""
    members: dict[str | None, list[str]] = {}
    for tag in tags:
        members.setdefault(family(tag), []).append(tag)
    collapsed: set[str] = set()
    for name, group in members.items():
        if name is not None and (len(group) > limit or name in group):
            collapsed.add(name)
        else:
            collapsed.update(group)
    return frozenset(collapsed)


def escape(value: Any) -> str:
    """Return `value` as it stands inside a tag: no control characters, no lone ``*``.

    A value from a user must not be able to spell the family tag.
    """
    text = value if type(value) is str else _spell(value)
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]):02X}", text) if not text.isalnum() else text


def _spell(value: Any) -> str:
    """Return the same text for equal values, however they came to be: 1.5 and 1.50, two zones."""
    if isinstance(value, str):
        return str.__str__(value)  # Databases take the text itself, whatever `str()` makes of it.
    if isinstance(value, Enum):
        return _spell(value.value)
    if isinstance(value, Decimal) and value.is_finite():
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime) and value.tzinfo is not None:
        return str(value.astimezone(UTC))
    return str(value)


def shorten(tag: str) -> str:
    """Return `tag`, or the digest that takes its place when it is too long, in the same family."""
    if len(tag) <= MAX_LENGTH:
        return tag
    return f"{tag.partition(':')[0]}:~{_digest(tag)}"


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def escape_glob(text: str) -> str:
    """Return `text` so that a Redis glob pattern takes it literally."""
    return _GLOB.sub(r"\\\1", text)
