"""Writers that die while there is no cache: a row is left for everything that was committed."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection

from tests.delivery.outbox.rows import is_due, rows, targets
from tests.outages import NOBODY
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

pytestmark = [pytest.mark.django_db(transaction=True)]

FENCE_TIMEOUT = 3600.0  # seconds


def kill_writer(how: str, when: str) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.consistency.victim_settings",
        "FENCE_TIMEOUT": str(FENCE_TIMEOUT),
        "REDIS_URL": NOBODY,
    }
    database = str(connection.settings_dict["NAME"])
    command = [sys.executable, "-m", "tests.delivery.outbox.victim", database, how, when]
    ended = subprocess.run(command, env=environment, timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGKILL, f"the writer was not killed {when}"


@pytest.mark.parametrize(
    ("when", "name"),
    [
        ("before the statement", "old"),
        ("after the statement", "new"),
        ("before the delivery", "new"),
    ],
)
def test_a_statement_in_autocommit_leaves_a_row_that_is_due_later(when: str, name: str) -> None:
    Product.objects.create(name="old")
    kill_writer("in autocommit", when)
    assert Product.objects.get().name == name
    assert targets() == [{"tags": ["testapp.product", "testapp.product:*"]}]
    (row,) = rows()
    # Delivered before the statement is committed, it would be of no use.
    assert not is_due(row)
    until_due = row.next_attempt - row.created
    assert abs(until_due - timedelta(seconds=FENCE_TIMEOUT)) < timedelta(seconds=PATIENCE)


@pytest.mark.parametrize(
    ("when", "name"), [("before COMMIT", "old"), ("before the delivery", "new")]
)
def test_a_transaction_leaves_a_row_if_and_only_if_it_is_committed(when: str, name: str) -> None:
    Product.objects.create(name="old")
    kill_writer("in a transaction", when)
    assert Product.objects.get().name == name
    assert len(rows()) == (name == "new")
    assert all(map(is_due, rows()))
