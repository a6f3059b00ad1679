"""What projects import from `cache_invalidation.testing` is documented."""

import re
from pathlib import Path

import pytest

from cache_invalidation import testing

API = Path(__file__).resolve().parents[2] / "docs/reference/api.md"


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_is_in_the_reference_and_says_what_it_is_for(name):
    prefix = re.escape("cache_invalidation.testing.")
    assert re.search(rf"^\.\. auto\w+:: {prefix}{name}\b", API.read_text(), re.MULTILINE)
    assert getattr(testing, name).__doc__
