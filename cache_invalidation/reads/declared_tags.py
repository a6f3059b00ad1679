"""The tags that a cached function declares, for each of its calls."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db.models import Manager, Model, QuerySet

from cache_invalidation.exceptions import TemplateError
from cache_invalidation.reads.arguments import Signature
from cache_invalidation.rules.plans import Parts
from cache_invalidation.rules.registry import registry
from cache_invalidation.rules.templates import Template, parse
from cache_invalidation.tags import check_name, expand, function_tag, model_tag, row_tag, shorten

Tag = str | type[Model] | Model | Callable[..., Any]
Tags = Tag | Iterable[Tag]


class DeclaredTags:
    """Templates over the arguments, models (any row), instances (that row), and callables.

    A callable gets the arguments of the call and returns tags, models or instances, one or many.
    Besides, each call depends on the tag of the function itself.
    """

    def __init__(self, tags: Tags, signature: Signature) -> None:
        self.signature = signature
        listed = self._listed(tags)
        self.sources = tuple(listed)
        self._static = {function_tag(signature.name)}
        self._templates: list[Template] = []
        self.callables: list[Callable[..., Any]] = []
        for tag in listed:
            self._sort_in(tag)
        # Those that are the same for each call, expanded by what the rules say of their parts.
        self._expanded: tuple[Parts | None, tuple[str, ...]] = None, ()

    def _listed(self, tags: Any) -> list[Any]:
        if isinstance(tags, str | Model) or callable(tags):
            return [tags]
        # A queryset would be executed, and says nothing of the rows that there will be.
        if isinstance(tags, Mapping | bytes | QuerySet | Manager) or not isinstance(tags, Iterable):
            raise self._wrong(tags, "tags= is a list of tags")
        return list(tags)

    def _wrong(self, tags: Any, expected: str) -> TypeError:
        shown = type(tags).__name__ if isinstance(tags, QuerySet | Manager) else repr(tags)
        return TypeError(
            f"{self.signature.name}(): {expected}, not {shown}. A tag is a string, a model, an "
            "instance or a callable."
        )

    def _sort_in(self, tag: Any) -> None:
        if isinstance(tag, str):
            template = parse(tag)
            if tag.endswith(":*"):
                raise TemplateError(
                    f"The family tag {tag!r} is dropped only by writes to rows that are not known; "
                    "depend on a model, or on a tag of your own that every such write drops."
                )
            registry.check_spelling(tag, f"{self.signature.name}()")
            if template.paths:
                self._check(template)
                self._templates.append(template)
            else:
                self._static.add(tag)
        elif isinstance(tag, Model) or (isinstance(tag, type) and issubclass(tag, Model)):
            self._static.add(spell(tag))
        elif callable(tag) and not isinstance(tag, type):
            self.callables.append(tag)
        else:
            raise self._wrong(tag, "tags= has tags in it")

    def _check(self, template: Template) -> None:
        for path in template.paths:
            if path.split("__")[0] not in self.signature.names:
                raise TemplateError(
                    f"The tag {template.source!r} names {path!r}, which is no parameter of "
                    f"{self.signature.name}({', '.join(self.signature.names)})."
                )

    def of_call(
        self, arguments: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Return, expanded, the tags that the value of this call depends on."""
        if not self._templates and not self.callables:
            parts = registry.parts
            if self._expanded[0] is not parts:
                self._expanded = parts, expand(registry.with_parts(self._static))
            return self._expanded[1]
        tags = set(self._static)
        for template in self._templates:
            tags.add(template.render(lambda path: self._lookup(arguments, path)))
        for function in self.callables:
            tags.update(_spell_all(function(*args, **kwargs)))
        return expand(registry.with_parts(tags))

    def _lookup(self, arguments: Mapping[str, Any], path: str) -> Any:
        name, *rest = path.split("__")
        if name not in arguments:  # A decorator was called in another way than what it wraps.
            raise TypeError(
                f"{self.signature.name}() cannot be cached for these arguments: one of its tags "
                f"names {name!r}, and they do not say which one that is."
            )
        value = arguments[name]
        for attribute in rest:
            if value is None:
                return None
            value = getattr(value, attribute)
        return value


def spell(tag: Any) -> str:
    """Return the tag for a model, an instance or a string that is one already.

    Raises `ValueError` for a bad string, `TypeError` for anything else.
    """
    if isinstance(tag, str):
        return check_name(tag)
    if isinstance(tag, Model):
        if tag.pk is None:
            raise ValueError(f"{tag!r} is not saved, so there is no tag for it.")
        return shorten(row_tag(type(tag), tag.pk))
    if isinstance(tag, type) and issubclass(tag, Model):
        if tag._meta.abstract or tag._meta.swapped:
            raise TypeError(f"{tag.__qualname__} has no table of its own; name models that have.")
        return model_tag(tag)
    raise TypeError(f"A tag is a string, a model or an instance, not {tag!r}.")


def _spell_all(tags: Any) -> set[str]:
    if isinstance(tags, str | Model | type):
        return {spell(tags)}
    return {spell(tag) for tag in tags}
