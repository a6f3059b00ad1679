"""What projects import from `cache_invalidation.testing` is documented."""

import pytest

from cache_invalidation import testing
from tests.api_page import PAGE, documented


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_is_in_the_reference_and_says_what_it_is_for(name):
    assert name in documented(PAGE.read_text())
    assert getattr(testing, name).__doc__
