"""Tests of what projects use in theirs, which roll back or commit."""

import pytest


@pytest.fixture(params=["rolled back", "committing"])
def database(request: pytest.FixtureRequest) -> None:
    """Run the test in the transaction of a `TestCase` and in one that commits."""
    request.getfixturevalue("db" if request.param == "rolled back" else "transactional_db")
