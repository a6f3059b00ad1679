"""Invalidate by hand."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from cache_invalidation.conf import settings
from cache_invalidation.management.base import ShowingCommand, add_row_arguments, operator
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.actions import Outcome, Request, invalidate, preview
from cache_invalidation.operations.entities import (
    Entity,
    NoSuchModel,
    find_event,
    find_watched_model,
    parse_key,
)
from cache_invalidation.operations.names import KnownNames, Named
from cache_invalidation.rules.registry import Event
from cache_invalidation.tags import ROOT

HELP = """\
Invalidate what depends on rows, models, tags or events, cached functions, pages and blocks by name,
and delete plain cache keys. It happens at once, and is written into the audit log.

  invalidate_cache shop.Product 42
      as if this row had been saved: its tags, and what its rules name

  invalidate_cache shop.Product
      as if every row of the model had been

  invalidate_cache shop.queries.menu
      a cached function, with all of its arguments; likewise a page by its view (shop.views.product)
      or its path (/products/3/), the blocks of a template (shop/base.html), the queries of a model
      (shop.product.queries) and what one pattern tracks ("cache:product:*"). More of them with
      --name

  invalidate_cache --tag category:3 --tag homepage --key product-detail:42 --pattern "list:3:*"
      by name

  invalidate_cache --event user.updated --payload '{"user_id": 3}'
      what the subscribers of the event say; the event is not published

  invalidate_cache --everything
      all cached values, pages and blocks; asks first, unless it is told --yes. Plain keys stay,
      --key and --pattern are for those

See what would go with --dry-run, and by which rule with explain_invalidation.
"""


class Command(ShowingCommand):
    """``manage.py invalidate_cache [MODEL [PK] | NAME] [--tag …] [--key …] [--dry-run]``"""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        add_row_arguments(parser)
        parser.add_argument(
            "--database",
            choices=tuple(connections),
            help="with a model: the alias of the database that its rows are in; default: the one "
            "that the project's routers write it to",
        )
        parser.add_argument(
            "--name",
            action="append",
            default=[],
            help="a cached function, a page or a block; may be repeated",
        )
        for name in ("tag", "key", "pattern"):
            parser.add_argument(
                f"--{name}", action="append", default=[], help=f"a {name}; may be repeated"
            )
        parser.add_argument("--event", metavar="NAME", help="the name of a domain event")
        parser.add_argument(
            "--payload", metavar="JSON", help="with --event: its payload, a JSON object"
        )
        parser.add_argument(
            "--everything",
            action="store_true",
            help="all cached values, pages and blocks; plain keys stay",
        )
        parser.add_argument("--reason", default="", help="why, for the audit log")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        request = _request(options)
        outcome = _preview(request)
        if not options["dry_run"]:
            if outcome.emptied and not options["yes"]:
                self._ask(outcome)
            # Made anew: the rows may have changed while somebody was asked.
            outcome = invalidate(_request(options), operator(), reason=options["reason"])
        data = outcome.as_dict(dry_run=options["dry_run"])
        self.show(_as_text(outcome, options), data, options)
        if outcome.result is AuditEntry.Result.FAILED:
            raise CommandError(_failure())
        if outcome.lost:
            raise CommandError("This cache cannot list its keys: no pattern deletes anything.")

    def _ask(self, outcome: Outcome) -> None:
        drops = " and ".join(outcome.emptied)
        # Whoever reads the output wants the answer only, which may be JSON.
        self.stderr.write(f"This drops {drops}. Type 'yes' to go on: ", ending="")
        self.stderr.flush()
        try:
            answer = input()
        except EOFError:
            raise CommandError("Nobody is there to be asked; add --yes.") from None
        if answer != "yes":
            raise CommandError("Nothing was invalidated.")


def _request(options: Mapping[str, Any]) -> Request:
    if options["payload"] and not options["event"]:
        raise CommandError("--payload goes with --event only.")
    if options["database"] and not options["model"]:
        raise CommandError("--database goes with a model only.")
    entities, names = _targets(options)
    tags = [*options["tag"], *([ROOT] if options["everything"] else [])]
    try:
        request = Request(
            tags=tags,
            keys=options["key"],
            patterns=options["pattern"],
            entities=entities,
            names=names,
            events=[_event(options)] if options["event"] else [],
            everything=True,  # It asks, which is better than to refuse.
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not request:
        raise CommandError(
            "Say what: a model, the name of something that is cached, --tag, --key, --pattern, "
            "--event or --everything."
        )
    return request


def _targets(options: Mapping[str, Any]) -> tuple[list[Entity], list[Named]]:
    """Return the rows and the names that are meant; raise `CommandError` if there is no such."""
    entities, names = [], []
    known = cache(KnownNames)  # The cache is asked once, and only for names.
    try:
        if options["model"]:
            try:
                entities.append(_entity(options))
            except NoSuchModel:
                if options["pk"] or options["database"]:
                    raise
                names += known().find_any(options["model"])
        names += [found for name in options["name"] for found in known().find(name)]
    except ValueError as error:
        raise CommandError(str(error)) from error
    return entities, names


def _entity(options: Mapping[str, Any]) -> Entity:
    model = find_watched_model(options["model"])
    pk = parse_key(model, options["pk"]) if options["pk"] else None
    return Entity(model=model, pk=pk, using=options["database"])


def _event(options: Mapping[str, Any]) -> Event:
    try:
        payload = json.loads(options["payload"] or "{}")
    except ValueError as error:
        raise CommandError(f"--payload is no JSON: {error}") from error
    if not isinstance(payload, dict):
        raise CommandError("--payload has to be a JSON object.")
    return Event(name=find_event(options["event"]), payload=payload)


def _preview(request: Request) -> Outcome:
    try:
        return preview(request)
    except Exception as error:
        # A subscriber is code of the project, and the payload is what somebody typed in.
        if not request.events:
            raise
        name = request.events[0].name
        raise CommandError(
            f"A subscriber of {name!r} cannot cope with it ({type(error).__name__}: {error})."
        ) from error


def _failure() -> str:
    """Return why what could not be delivered does not wait either, and what helps."""
    if settings.ON_STORE_FAILURE == "ignore":
        why = 'nothing waits for it, since ON_STORE_FAILURE is "ignore".'
    else:
        why = "there is no outbox to wait in; run migrate."
    return f"The cache does not answer, and {why} Repeat this once the cache is back."


def _as_text(outcome: Outcome, options: Mapping[str, Any]) -> str:
    heads = {
        AuditEntry.Result.DONE: "Invalidated",
        AuditEntry.Result.PARTLY: "Invalidated, but for what is lost",
        AuditEntry.Result.PENDING: "Waits in the outbox, since the cache does not answer",
        AuditEntry.Result.FAILED: "NOT invalidated",
    }
    names = [
        f"  {kind:<9}{name}"
        for kind in ("tags", "keys", "patterns", "lost")
        for name in getattr(outcome, kind)
    ]
    if not names:
        return "Nothing to invalidate: its subscribers name nothing"
    if outcome.unread:
        names.append(f"No known function, page or block depends on {', '.join(outcome.unread)}")
    return "\n".join(["Would invalidate" if options["dry_run"] else heads[outcome.result], *names])
