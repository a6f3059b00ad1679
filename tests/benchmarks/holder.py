"""A process that keeps a value near; loads Django before anything that needs models."""

from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import django
from django.conf import settings
from django.utils.module_loading import import_string


def hold(changed: Mapping[str, Any], pk: int, parent: Connection) -> None:
    """Keep the stock of a product near until killed, looking at it now and then."""
    for setting, value in changed.items():
        setattr(settings, setting, value)
    django.setup()
    import_string("tests.benchmarks.near.keep")(pk, parent)
