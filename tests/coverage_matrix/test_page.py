"""The page in the documentation says what the matrix says.

To write it anew after a change:

    WRITE_COVERAGE_PAGE=1 python -m pytest tests/coverage_matrix/test_page.py
"""

from tests.coverage_matrix.matrix import WAYS
from tests.coverage_matrix.page import PAGE, page
from tests.printed import printed


def test_the_page_is_what_the_matrix_declares():
    assert printed(PAGE, page(), "WRITE_COVERAGE_PAGE") == page()


def test_every_way_has_a_name_and_a_title_of_its_own():
    assert len({way.name for way in WAYS}) == len({way.title for way in WAYS}) == len(WAYS)
