"""Fields that take what they say and nothing else: no number for a string, no "yes" for true."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.settings import api_settings

from cache_invalidation.api.limits import MAX_NAMES
from cache_invalidation.explain.known import Kind
from cache_invalidation.tags import MAX_LENGTH, check_written

UNKNOWN_SHOWN = 10  # of the fields that there are not

_NAMED_BY: Final[Mapping[Kind, str]] = {
    "function": "Cached functions, by name: all values of each, whatever its arguments; queries of "
    "a model (`shop.product.queries`), and what one pattern tracks (`cache:product:*`).",
    "page": "Cached pages and responses, by path or by the dotted name of their view.",
    "block": "Cached blocks, by the template they are in; behind a colon, by their own name.",
}


class Text(serializers.CharField):
    """A string, as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Name(Text):
    """A tag, a key or a pattern."""

    def __init__(self, kind: Literal["tag", "key", "pattern"]) -> None:
        super().__init__(min_length=1, max_length=MAX_LENGTH)
        self.kind = kind

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        try:
            return check_written(name, self.kind)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Names(serializers.ListField):
    """A list of tags, keys or patterns; none if it is left out."""

    def __init__(self, kind: Literal["tag", "key", "pattern"]) -> None:
        super().__init__(child=Name(kind), required=False, max_length=MAX_NAMES)


class CachedNames(serializers.ListField):
    """A list of names of cached functions, pages or blocks; none if it is left out."""

    def __init__(self, kind: Kind) -> None:
        named = _NAMED_BY[kind]
        child = Text(min_length=1, max_length=MAX_LENGTH)
        super().__init__(child=child, required=False, max_length=MAX_NAMES, help_text=named)


class Flag(serializers.BooleanField):
    """True or false; false if it is left out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class Key(serializers.Field[Any, Any, Any, Any]):
    """A primary key: a number or a string, a list of them if it is composite."""

    default_error_messages = {"invalid": "Not a number, a string, or a list of them."}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.text = Text(max_length=MAX_LENGTH)

    def to_internal_value(self, data: Any) -> Any:
        parts = data if isinstance(data, list) else [data]
        for part in parts:
            if isinstance(part, str):
                self.text.run_validation(part)
            elif isinstance(part, bool) or not isinstance(part, int):
                self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a misspelled ``dry_run`` must not be a real run."""

    unknown = "There is no such field."

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := set(data) - set(self.fields)):
            raise ValidationError(
                {
                    _printable(name): [ErrorDetail(self.unknown, code="unknown")]
                    for name in sorted(unknown)[:UNKNOWN_SHOWN]
                }
            )
        return super().to_internal_value(data)


class QuerySerializer(StrictSerializer):
    """A query string, in which the framework has a parameter of its own. Without fields, none."""

    unknown = "There is no such parameter."

    def to_internal_value(self, data: Any) -> Any:
        own = api_settings.URL_FORMAT_OVERRIDE
        return super().to_internal_value({name: data[name] for name in data if name != own})


def _printable(name: str) -> str:
    """Return the name so that it can be encoded; JSON may hold half a character."""
    return name[:MAX_LENGTH].encode(errors="backslashreplace").decode()
