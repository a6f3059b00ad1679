"""What the commands have in common: the form of their help and output, and how rows are named."""

import getpass
import json
import socket
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db.models import Model

from cache_invalidation.audit import Operator
from cache_invalidation.models import AuditEntry


class ShowingCommand(BaseCommand):
    """Prints what it has to say as text, or as JSON with ``--format json``."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=_Formatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="text (default) or json"
        )

    def show(self, text: str, data: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Print `text` or `data`, as the ``--format`` of `options` says."""
        as_json = options["format"] == "json"
        self.stdout.write(json.dumps(data, indent=2) if as_json else text)


class _Formatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's own would run the examples together, into one paragraph."""


def operator() -> Operator:
    """Return who has typed the command, for the audit log."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"  # A container whose user has no name.
    return Operator(name=name, origin=AuditEntry.Origin.COMMAND, address=socket.gethostname())


def add_row_arguments(parser: CommandParser) -> None:
    """Have the command take what `find_model` and `parse_key` need."""
    parser.add_argument("model", nargs="?", help="the model, such as shop.Product")
    parser.add_argument(
        "pk",
        nargs="*",
        help="the primary key of a row; if it is composite, the value of each of its columns",
    )


def find_model(label: str) -> type[Model]:
    """Return the model; raise `CommandError`, with what may have been meant, if there is none."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        pass
    known = {model._meta.label_lower: model._meta for model in apps.get_models()}
    close = [
        options.label
        for options in known.values()
        if label.lower() in (options.model_name, options.db_table.lower())
    ] or [known[name].label for name in get_close_matches(label.lower(), known, 3)]
    suggestion = f"Did you mean {' or '.join(close)}?" if close else "Its name is app.Model."
    raise CommandError(f"There is no model {label!r}. {suggestion}")


def parse_key(model: type[Model], values: Sequence[str]) -> Any:
    """Return the primary key that is spelled in `values`, one for each of its columns."""
    fields = model._meta.pk_fields
    if len(values) != len(fields):
        names = " ".join(field.name for field in fields)
        raise CommandError(
            f"{len(values)} values are given for the primary key of {model._meta.label}, which is: "
            f"{names}."
        )
    try:
        key = tuple(field.to_python(value) for field, value in zip(fields, values, strict=True))
    except ValidationError as error:
        raise CommandError(
            f"This is no primary key of {model._meta.label}: {' '.join(error.messages)}"
        ) from error
    return key[0] if len(key) == 1 else key
