"""Print what a write would invalidate."""

import json
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
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
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import Model

from cache_invalidation.catalog import all_rows
from cache_invalidation.explain import Explanation, explain, explain_sql

HELP = """\
Show what a write would invalidate, and by which rule. Nothing is written or invalidated.

  explain_invalidation shop.Product 42
      a write to this row, whatever changes in it

  explain_invalidation shop.Product 42 --operation delete
      its deletion, with what Django and the database delete and update along with it

  explain_invalidation shop.Product
      a write to rows of which it is not known which, such as a bulk update

  explain_invalidation --sql "UPDATE shop_product SET stock = 0 WHERE id = 42"
      a statement; for what it reads, the tags that somebody who caches it depends on

A name in braces, as in category:{category_id}, is a value that is known only after the write.
"""


class Command(BaseCommand):
    """``manage.py explain_invalidation (MODEL [PK] | --sql STATEMENT) [--format json]``"""

    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=_Formatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?", help="the model, such as shop.Product")
        parser.add_argument(
            "pk",
            nargs="*",
            help="the primary key of a row; if it is composite, the value of each of its columns",
        )
        parser.add_argument("--sql", metavar="STATEMENT", help="a statement, instead of a model")
        parser.add_argument(
            "--param",
            action="append",
            metavar="VALUE",
            help="with --sql: the value of the next %%s in the statement; may be repeated",
        )
        parser.add_argument(
            "--operation",
            choices=("save", "delete"),
            help="with a model: what is done to the row, save (default) or delete",
        )
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="text (default) or json"
        )
        parser.add_argument(
            "--database",
            choices=tuple(connections),
            default=DEFAULT_DB_ALIAS,
            help='the alias of the database that is written to; default: "default"',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        _check(options)
        try:
            explanation = _explain(options)
        except DatabaseError as error:
            raise CommandError(
                f"The database {options['database']!r} does not answer the question: {error}"
            ) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(explanation.as_dict(), indent=2))
        else:
            self.stdout.write(str(explanation))


class _Formatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's own would run the examples together, into one paragraph."""


def _check(options: Mapping[str, Any]) -> None:
    """Raise `CommandError` for arguments that do not go together."""
    if options["database"] not in connections.settings:
        raise CommandError(
            f"There is no database {options['database']!r}. "
            f"Choose from: {', '.join(connections.settings)}."
        )
    if options["sql"] is None:
        if options["model"] is None:
            raise CommandError(
                "Say what is written: a model, such as shop.Product, with or without a primary "
                "key, or a statement with --sql."
            )
        if options["param"]:
            raise CommandError("--param goes with --sql only.")
    elif options["model"] is not None:
        raise CommandError("Give a model or --sql, not both.")
    elif options["operation"]:
        raise CommandError("--operation goes with a model only; a statement says what it does.")


def _explain(options: Mapping[str, Any]) -> Explanation:
    using: str = options["database"]
    operation: Any = options["operation"] or "save"
    if options["sql"] is not None:
        return explain_sql(options["sql"], options["param"], using=using)
    model = _model(options["model"])
    if not options["pk"]:
        return explain(model, operation=operation, using=using)
    key = _key(model, options["pk"])
    rows = all_rows(model, using).filter(pk=key)
    if not rows.exists():
        raise CommandError(
            f"{model._meta.label} has no row {' '.join(options['pk'])} in the database {using!r}. "
            "Leave the key out to see what a write to rows that are not known invalidates."
        )
    return explain(rows, operation=operation, using=using)


def _model(label: str) -> type[Model]:
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


def _key(model: type[Model], values: list[str]) -> Any:
    """Return the primary key that is spelled in `values`."""
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
