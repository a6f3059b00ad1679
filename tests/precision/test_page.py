"""The page in the documentation says what the table says.

To write it anew after a change:

    WRITE_PRECISION_PAGE=1 python -m pytest tests/precision/test_page.py
"""

import os

from tests.precision.expected import CELLS
from tests.precision.page import PAGE, page
from tests.precision.reads import READS
from tests.precision.writes import WRITES


def test_the_page_is_what_the_table_says():
    if os.environ.get("WRITE_PRECISION_PAGE"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


def test_every_read_and_every_write_has_a_cell():
    assert CELLS.keys() == {(read.name, write.name) for read in READS for write in WRITES}
