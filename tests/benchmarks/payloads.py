"""What is cached: the same for both sides of a comparison."""

import pickle
from typing import Any

SMALL_BYTES = 228  # pickled


def small(pk: int) -> dict[str, Any]:
    """Return what a detail page needs of one row."""
    row = {"id": pk, "name": "Product", "price": "19.90", "stock": 7, "category": "Category"}
    missing = SMALL_BYTES - len(pickle.dumps({**row, "text": ""}, pickle.DEFAULT_PROTOCOL))
    return {**row, "text": "x" * missing}


def rows(number: int = 50) -> list[dict[str, Any]]:
    """Return what a list page needs."""
    return [small(pk) for pk in range(number)]
