"""Visitors who go to a page twice, and compare: once as it is cached, once without."""

import re
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import User
from django.middleware.csrf import _does_token_match  # type: ignore[attr-defined]
from django.test import Client

_TOKEN: Final = re.compile(rb"value='([^']{32,})'")


def get(address: str, client: Client | None = None, **headers: str) -> Any:
    """Return the answer to somebody, with headers that are spelled like names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (client or Client()).get(address, headers=named)


def status(response: Any) -> str:
    """Return what became of the page, as the response says."""
    return str(response.headers["Cache-Status"].removeprefix("cache_invalidation; "))


class Visitor:
    """Somebody with two browsers, which do the same; one of them never meets the cache."""

    def __init__(self, user: User | None = None, **cookies: str) -> None:
        self.cached, self.plain = Client(), Client(headers={"X-Plain": "1"})
        for browser in (self.cached, self.plain):
            if user is not None:
                browser.force_login(user)
            for name, value in cookies.items():
                browser.cookies[name] = value
        self.status = ""

    def visit(self, path: str, **headers: Any) -> tuple[Any, Any]:
        """Return what there is to see in each of the browsers."""
        cached = self.cached.get(path, **headers)
        self.status = cached.headers.get("Cache-Status", "")
        plain = self.plain.get(
            path, headers={"X-Plain": "1", **headers.pop("headers", {})}, **headers
        )
        return seen(cached, self.cached), seen(plain, self.plain)


def seen(response: Any, browser: Client) -> tuple[int, bytes, Mapping[str, str]]:
    """Return what a visitor sees; of a token, which is another one each time, whose it is."""
    headers = {
        name: value
        for name, value in response.items()
        if name not in ("Cache-Control", "Cache-Status", "ETag", "Content-Length", "Expires")
    }
    body = b"" if response.status_code == 304 else response.getvalue()

    def whose(match: re.Match[bytes]) -> bytes:
        cookie = browser.cookies.get("csrftoken")
        is_own = cookie is not None and _does_token_match(match[1].decode(), cookie.value)
        return b"own token" if is_own else b"token of somebody else"

    return response.status_code, _TOKEN.sub(whose, body), headers
