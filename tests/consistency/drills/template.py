"""What the processes of the drills have in common, loaded once: each of them is a fork of it.

There are no connections and no threads in it yet, as in a web server that loads the site before it
forks its workers.
"""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.consistency.drills.settings"
django.setup()

# Django's apps have to be in place. Loading takes time, which is not to be a part of a drill.
import django_redis.client  # noqa: E402, F401
from django.db import connection  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

import tests.consistency.drills.roles  # noqa: E402, F401
from cache_invalidation.stores import STORES  # noqa: E402

for store in STORES.values():
    import_string(store)
assert connection.vendor == "postgresql"
