"""`DATABASE_URL`, spelled as an entry of Django's `DATABASES`."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def parse_database_url(url: str) -> dict[str, Any]:
    """Return the entry of `DATABASES` that a URL describes.

    `postgresql://user:password@host:port/name`, where the query may give `host` (also the
    directory of a UNIX socket), `port`, `user`, `password` and any entry of `OPTIONS`;
    `sqlite:///relative.db`, `sqlite:////absolute.db` or `sqlite:///:memory:`.
    """
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # The messages leave out the URL, which may hold a password.
    if parts.scheme not in {"postgres", "postgresql", "sqlite"}:
        raise ValueError(f"DATABASE_URL: scheme {parts.scheme!r} is neither postgresql nor sqlite")
    if not name:
        raise ValueError(f"DATABASE_URL: no database name after {parts.scheme}://host/")
    if parts.scheme == "sqlite":
        if parts.netloc:
            raise ValueError("DATABASE_URL: SQLite has no host, write sqlite:///relative.db")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name,
            "OPTIONS": _with_numbers(query),
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": query.pop("user", unquote(parts.username or "")),
        "PASSWORD": query.pop("password", unquote(parts.password or "")),
        "HOST": query.pop("host", unquote(parts.hostname or "")),
        "PORT": query.pop("port", str(parts.port or "")),
        "OPTIONS": _with_numbers(query),
    }


def _with_numbers(options: dict[str, str]) -> dict[str, str | int]:
    # Database drivers want whole numbers as int, for instance for timeouts.
    return {name: int(text) if text.isdecimal() else text for name, text in options.items()}
