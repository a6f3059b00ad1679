"""How the documentation is built: ``make docs``."""

import django
from django.conf import settings

# Autodoc imports the package, and some of it imports models.
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "cache_invalidation"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
)
django.setup()

project = "django-cache-invalidation"
copyright = "2026, the django-cache-invalidation contributors"
release = version = "0.1.0"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "django-cache-invalidation"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
# Docstrings put names of all kinds between single backquotes.
default_role = "code"
# Signatures name types of Python, of Django and of the inside of the package. Building needs no
# network, so none of them is a link; links written in the text are checked.
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", r"typing\..*")]
