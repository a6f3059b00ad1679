"""The page in the documentation says what the table says.

To write it anew after a change:

    WRITE_PRECISION_PAGE=1 python -m pytest tests/precision/test_page.py
"""

from tests.precision.expected import CELLS
from tests.precision.page import PAGE, page
from tests.precision.reads import READS
from tests.precision.writes import WRITES
from tests.printed import printed


def test_the_page_is_what_the_table_says():
    assert printed(PAGE, page(), "WRITE_PRECISION_PAGE") == page()


def test_every_read_and_every_write_has_a_cell():
    assert CELLS.keys() == {(read.name, write.name) for read in READS for write in WRITES}
