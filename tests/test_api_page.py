"""The page about the Python API says what the code says.

To write it anew after a change:

    WRITE_API_PAGE=1 python -m pytest -n 0 tests/test_api_page.py
"""

import cache_invalidation
from cache_invalidation import exceptions, testing
from tests.api_page import PAGE, documented, remade
from tests.printed import printed

EXAMPLES = ("```python\n", "```pycon\n")


def test_the_page_is_what_the_code_says():
    text = printed(PAGE, remade(PAGE.read_text()), "WRITE_API_PAGE")
    assert text == remade(text)


def test_everything_public_is_on_it():
    raised = {name for name, value in vars(exceptions).items() if name[0].isupper()}
    raised -= {"ImproperlyConfigured", "DatabaseError"}
    public = {*cache_invalidation.__all__, *testing.__all__, *raised} - {"registry"}
    assert public <= documented(PAGE.read_text()).keys()


def test_what_is_called_has_an_example():
    without = {"Change", "Event", "Explanation", "RuleEffect", *testing.__all__, *vars(exceptions)}
    for name, text in documented(PAGE.read_text()).items():
        assert name in without or any(example in text for example in EXAMPLES), name
