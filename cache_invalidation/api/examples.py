"""Requests and answers as they look, for the OpenAPI schema."""

from typing import Any, Final

TAGS: Final = ["category:3", "shop.product", "shop.product:42"]

REQUEST: Final[dict[str, Any]] = {
    "tags": ["homepage"],
    "keys": ["product-detail:42"],
    "patterns": ["product-list:3:*"],
    "entities": [{"type": "shop.product", "id": 42}],
    "functions": ["shop.queries.menu"],
    "pages": ["/products/42/", "shop.views.cart"],
    "blocks": ["shop/base.html:menu"],
    "dry_run": False,
    "reason": "Prices were corrected by hand",
}

DONE: Final[dict[str, Any]] = {
    "dry_run": False,
    "result": "done",
    "tags": [*TAGS[:1], "homepage", *TAGS[1:]],
    "keys": ["product-detail:42"],
    "patterns": ["product-list:3:*"],
    "entities": {"manual": 1, "product": 1},
    "lost": [],
    "unread": [],
    "pending": [],
    "audit": 17,
}

PREVIEW: Final = DONE | {"dry_run": True, "result": None, "audit": None}
PENDING: Final = DONE | {"result": "pending", "pending": [5]}
FAILED: Final = DONE | {"result": "failed"}

RATES: Final = {"hits": 90, "misses": 30, "bypasses": 0, "hit_rate": 0.75}
LATENCY: Final = {"p50": 0.001, "p95": 0.002, "p99": 0.01}
STORE: Final = {"alias": "default", "state": "working", "since": None, "reason": "", "outages": 0}

MINUTE: Final[dict[str, Any]] = {
    "time": 1772368380,
    "hits": 3,
    "misses": 1,
    "bypasses": 0,
    "near_hits": 2,
    "waited": {"waits": 1, "seconds": 0.001},
    "invalidations_by_entity_type": {"product": 1},
    "failed_invalidations": 0,
    "latency": LATENCY,
    "missed": {"expired": 1},
}

LAST: Final[dict[str, Any]] = {
    "when": "2026-03-01T12:33:05.211340+00:00",
    "entity_type": "product",
    "cause": "update",
    "targets": {"tags": TAGS, "keys": ["product-detail:42"], "patterns": []},
    "sizes": {"tags": 3, "keys": 1, "patterns": 0},
}

FIGURES: Final[dict[str, Any]] = {
    "missed": {"new": 6, "expired": 4, "invalidated": 20},
    "dropped_by": {"shop.product": 17, "category:{}": 3},
    "computed": 30,
    "seconds": 0.615,
    "p50": 0.02,
    "p95": 0.05,
    "saved": 1.845,
    "fills": 30,
    "bytes": 61440,
    "sampled_fills": 4,
    "hit_fills": 3,
    "compared_refills": 20,
    "equal_refills": 16,
    "equal_after": {"shop.product": 16},
}

DROPPED: Final[dict[str, Any]] = {
    "tag": "shop.product",
    "entity_type": "product",
    "cause": "update",
    "route": "products/<int:pk>/",
    "deliveries": 12,
}

METRICS: Final[dict[str, Any]] = RATES | {
    "functions": {"shop.views.category_page": RATES},
    "figures": {"shop.views.category_page": FIGURES},
    "dropped": [DROPPED],
    "details_left_out": 0,
    "not_stored": {"page:shop.views.cart": {"session": 17}, "cache:product:*": {"blind": 2}},
    "stored": {"cache:product:*": {"sealed": 21}},
    "refreshed": {"shop.views.category_page": {"stored": 9}},
    "near_hits": {"shop.queries.menu": 1200},
    "waits_by_entity_type": {"shop.category": {"waits": 4, "seconds": 0.012, "silent": 0}},
    "waits_by_name": {"shop.queries.menu": {"waits": 4, "seconds": 0.011}},
    "invalidations_by_entity_type": {"product": 12},
    "tag_invalidations": 24,
    "key_invalidations": 36,
    "pattern_invalidations": 12,
    "failed_invalidations": 0,
    "pending_invalidations": 0,
    "fetched_together": 4200,
    "fetched_in_vain": 17,
    "could_be_together": {"products/<int:pk>/": {"requests": 40, "lookups": 120}},
    "checked_hits": 0,
    "stale_hits": 0,
    "stale_rate": None,
    "stale_by_entity_type": {},
    "store": STORE,
    "latency": LATENCY,
    "last_invalidation": LAST,
    "since": "2026-03-01T08:00:00+00:00",
    "minutes": [MINUTE],
    "recent": [LAST | {"using": "default", "path": "/products/42/", "latency": 0.001204}],
}

ADVICE: Final[dict[str, Any]] = {
    "period": 86400.0,
    "reads": 41200,
    "details_left_out": 0,
    "findings": [
        {
            "kind": "track",
            "name": "shop.invalidation.ProductInvalidation",
            "summary": "Writes to other rows drop it, since it asks by a column that nobody "
            "tracks.",
            "readers": ["shop.queries.product_list"],
            "evidence": {"invalidated": 2064, "equal_refills": 1610, "deliveries": 96},
            "writes": [DROPPED],
            "patch": " class ProductInvalidation(ModelInvalidation):  "
            '# shop.invalidation.ProductInvalidation\n+    track = ["category"]',
            "hit_rate": 0.119,
            "expected_hit_rate": 0.807,
            "seconds": 33.005,
        }
    ],
}

OUTAGE: Final[dict[str, Any]] = {
    "detail": "The cache does not answer: ConnectionError: Connection refused.",
    "store": STORE
    | {
        "state": "down",
        "since": "2026-03-01T12:30:00+00:00",
        "reason": "ConnectionError: Connection refused.",
        "outages": 1,
    },
    "pending_invalidations": 3,
}

REGISTRY: Final[dict[str, Any]] = {
    "models": [
        {
            "model": "shop.product",
            "tags": ["shop.product", "shop.product:{pk}"],
            "rules": [
                {
                    "rule": "shop.invalidation.ProductInvalidation",
                    "model": "shop.product",
                    "entity_type": "product",
                    "tags": ["category:{category_id}"],
                    "keys": ["product-detail:{pk}"],
                    "patterns": ["product-list:{category_id}:*"],
                    "fields": ["category", "name", "price"],
                    "own_fields": {},
                    "ignore": [],
                    "volatile": ["stock"],
                    "track": [],
                    "code": [],
                    "families": None,
                    "defect": None,
                }
            ],
        }
    ],
    "functions": [
        {
            "function": "shop.views.category_page",
            "loaded": True,
            "tags": ["category:{category_id}"],
            "code": [],
            "found": [],
            "timeout": 300.0,
            "lock": False,
            "sample": None,
        },
    ],
    "pages": [{"page": "shop.views.product", "found": ["shop.product:*", "shop.queries.menu()"]}],
    "blocks": [{"block": "shop/base.html:menu", "found": ["shop.category"]}],
    "events": [
        {"event": "user.updated", "subscribers": ["shop.invalidation.user_updated"]},
    ],
    "signals": [
        {
            "signal": "shop.signals.stock_counted",
            "handler": "shop.invalidation.on_stock_counted",
            "sender": "shop.product",
        },
    ],
}

WAITING: Final[dict[str, Any]] = {
    "database": "default",
    "id": 5,
    "created": "2026-03-01T12:33:05.211340+00:00",
    "entity_type": "product",
    "cause": "update",
    "entities": {"product": 1},
    "targets": {"tags": TAGS, "entries": [], "keys": ["product-detail:42"], "patterns": []},
    "sizes": {"tags": 3, "entries": 0, "keys": 1, "patterns": 0},
    "attempts": 1,
    "next_attempt": "2026-03-01T12:33:06.113020+00:00",
    "last_error": "ConnectionError: Connection refused.",
}
