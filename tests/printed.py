"""Pages in the documentation that are made from the code, or from the tests."""

import os
from pathlib import Path


def printed(page: Path, text: str, variable: str) -> str:
    """Return what `page` says. It says `text` from now on if the environment has `variable`."""
    if os.environ.get(variable):
        page.write_text(text)
    return page.read_text()
