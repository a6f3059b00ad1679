"""Print what a write would invalidate."""

from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from cache_invalidation.explain import Explanation, explain, explain_sql
from cache_invalidation.explain.known import Known
from cache_invalidation.management.base import ShowingCommand, add_row_arguments
from cache_invalidation.operations.entities import find_model, parse_key
from cache_invalidation.rules.catalog import all_rows

HELP = """\
Show what a write would invalidate, by which rule, and what is cached that depends on it. Nothing is
written or invalidated.

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

_INCOMPLETE: Final = (
    "The cache does not answer, so what else may become stale is known of this process only."
)


class Command(ShowingCommand):
    """``manage.py explain_invalidation (MODEL [PK] | --sql STATEMENT) [--format json]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        add_row_arguments(parser)
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
        super().add_arguments(parser)
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
        except ValueError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database {options['database']!r} does not answer the question: {error}"
            ) from error
        known = Known()
        dependent = explanation.dependent(known)
        text, data = str(explanation), explanation.as_dict()
        if dependent:
            text = "\n".join([text, "  what may become stale", *map("    {}".format, dependent)])
        if not known.is_complete:
            text += f"\n  {_INCOMPLETE}"
            data["notes"].append(_INCOMPLETE)
        self.show(text, data | {"dependent": dependent}, options)


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
    model = find_model(options["model"])
    if not options["pk"]:
        return explain(model, operation=operation, using=using)
    key = parse_key(model, options["pk"])
    rows = all_rows(model, using).filter(pk=key)
    if not rows.exists():
        raise CommandError(
            f"{model._meta.label} has no row {' '.join(options['pk'])} in the database {using!r}. "
            "Leave the key out to see what a write to rows that are not known invalidates."
        )
    return explain(rows, operation=operation, using=using)
