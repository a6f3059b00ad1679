"""What greenlets do in a process that is patched as soon as it begins. Run as a module.

Arguments: the names of a scene and of the PostgreSQL database, the cache, and what the scene wants.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

import django  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402


def main(scene: str, database: str, cache: str, *wanted: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.consistency.drills.settings"
    django.setup()
    logging.disable(logging.WARNING)
    connection.settings_dict["NAME"] = database
    override_settings(CACHES={"default": json.loads(cache)}).enable()
    import_string(f"tests.greenlets.{scene}")(*wanted)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
