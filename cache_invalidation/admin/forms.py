"""What an operator types in to say what is to be invalidated."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cache_invalidation.operations.actions import Request
from cache_invalidation.operations.entities import Entity, find_event, find_watched_model, parse_key
from cache_invalidation.operations.names import KnownNames, Named
from cache_invalidation.rules.registry import Event
from cache_invalidation.tags import ROOT, check_characters, check_written

MOST: Final = 1000  # lines in one field

T = TypeVar("T")


class LinesField(forms.CharField):
    """A text with one thing on each line; its value is the list of them, without empty lines."""

    def __init__(self, *, parse: Callable[[str], Any], **kwargs: Any) -> None:
        self.parse = parse
        widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"})
        super().__init__(required=False, widget=widget, **kwargs)

    def clean(self, value: Any) -> list[Any]:
        lines = [line.strip() for line in (super().clean(value) or "").splitlines()]
        named = list(dict.fromkeys(filter(None, lines)))
        if len(named) > MOST:
            raise ValidationError(_("At most %(most)d lines.") % {"most": MOST})
        found, errors = [], []
        for line in named:
            try:
                found.append(self.parse(line))
            except ValueError as error:
                errors.append(str(error))
        if errors:
            raise ValidationError(errors)
        return found


def name_of(what: str) -> Callable[[str], str]:
    return lambda line: check_written(line, what)


def entity_of(line: str) -> Entity:
    """Return what ``shop.product:42`` or ``shop.product`` stands for; raises `ValueError`.

    A composite key is a JSON list: ``shop.seat:["LX 14", 3]``.
    """
    name, colon, key = line.partition(":")
    model = find_watched_model(name)
    if not colon:
        return Entity(model=model)
    values = _list_of(key) if len(model._meta.pk_fields) > 1 else [key]
    return Entity(model=model, pk=parse_key(model, values))


def _list_of(key: str) -> list[Any]:
    try:
        values = json.loads(key)
    except ValueError:
        values = key
    return values if isinstance(values, list) else [values]


def event_of(line: str) -> Event:
    """Return what ``user.updated {"user_id": 3}`` stands for; raises `ValueError`."""
    name, _space, text = line.partition(" ")
    try:
        payload = json.loads(text or "{}")
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        problem = _("After the name of the event %(name)r there has to be a JSON object.")
        raise ValueError(problem % {"name": name})
    return Event(name=find_event(name), payload=payload)


class InvalidateForm(forms.Form):
    """Once it is valid, `request` is what it asks for."""

    entities = LinesField(
        parse=entity_of,
        label=gettext_lazy("Entities"),
        help_text=gettext_lazy(
            "One per line: shop.product:42 for one row, shop.product for every row. What the rules "
            "say of them is invalidated."
        ),
    )
    names = LinesField(
        parse=lambda line: check_characters(line, "name"),
        label=gettext_lazy("Functions, pages and blocks"),
        help_text=gettext_lazy(
            "One per line: shop.queries.menu for a cached function with all of its arguments, "
            "shop.views.product or /products/3/ for pages, shop/base.html for the blocks of a "
            "template, cache:product:* for all keys that this pattern tracks."
        ),
    )
    tags = LinesField(
        parse=name_of("tag"), label=gettext_lazy("Tags"), help_text=gettext_lazy("One per line.")
    )
    keys = LinesField(
        parse=name_of("key"),
        label=gettext_lazy("Keys"),
        help_text=gettext_lazy("Plain cache keys, one per line, without prefix and version."),
    )
    patterns = LinesField(
        parse=name_of("pattern"),
        label=gettext_lazy("Patterns"),
        help_text=gettext_lazy("Patterns of plain cache keys, one per line: product-list:*"),
    )
    events = LinesField(
        parse=event_of,
        label=gettext_lazy("Events"),
        help_text=gettext_lazy(
            "One per line, with what they carry as JSON. What their subscribers answer is "
            'invalidated: user.updated {"user_id": 3}'
        ),
    )
    everything = forms.BooleanField(
        required=False,
        label=gettext_lazy("Everything"),
        help_text=gettext_lazy(
            "Drop all cached values, pages and blocks. Plain keys stay; the pattern * is for those."
        ),
    )
    reason = forms.CharField(
        required=False,
        max_length=1000,
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("For the audit log."),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    request: Request

    def clean_names(self) -> list[Named]:
        names = self.cleaned_data["names"]
        if not names:
            return []
        known, found, errors = KnownNames(), [], []
        for name in names:
            try:
                found += known.find(name)
            except ValueError as error:
                errors.append(str(error))
        if errors:
            raise ValidationError(errors)
        return found

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        tags, everything = data["tags"], data["everything"]
        if ROOT in tags and not everything:
            self.add_error("tags", _("The tag * is everything: tick the box for that instead."))
            return data
        try:
            self.request = Request(
                tags=[*tags, ROOT] if everything else tags,
                keys=data["keys"],
                patterns=data["patterns"],
                entities=data["entities"],
                names=data["names"],
                events=data["events"],
                everything=everything,
            )
        except ValueError as error:  # A pattern that matches every key.
            self.add_error("patterns", str(error))
            return data
        if not self.request:
            self.add_error(None, _("Say what is to be invalidated."))
        return data
