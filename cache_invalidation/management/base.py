"""What the commands have in common: the form of their help and output, and how rows are named."""

import getpass
import json
import socket
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter

from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.audit import Operator


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


def sentence(error: Exception) -> str:
    """Return what `error` says with one full stop, whether it came with one or not."""
    return f"{str(error).strip().rstrip('.')}."


def operator() -> Operator:
    """Return who has typed the command, for the audit log."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"  # A container whose user has no name.
    return Operator(name=name, origin=AuditEntry.Origin.COMMAND, address=socket.gethostname())


def add_row_arguments(parser: CommandParser) -> None:
    """Have the command take a model, and one of its rows."""
    parser.add_argument("model", nargs="?", help="the model, such as shop.Product")
    parser.add_argument(
        "pk",
        nargs="*",
        help="the primary key of a row; if it is composite, the value of each of its columns",
    )
