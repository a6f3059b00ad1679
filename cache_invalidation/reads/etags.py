"""Entity tags: what a client names that has something already (RFC 9110, section 8.8.3)."""

from base64 import urlsafe_b64encode
from hashlib import blake2b

from cache_invalidation.reads.kept_calls import unwrap
from cache_invalidation.reads.varying import NAMED, code_version
from cache_invalidation.stores.messages import Versions


def strong_etag(*parts: bytes) -> str:
    """Return a strong entity tag: the same for the same bytes, and for no others."""
    found = blake2b(digest_size=15)
    for part in parts:
        found.update(part)
    return f'"{urlsafe_b64encode(found.digest()).decode()}"'


def etag_of(payload: bytes | None, versions: Versions | None) -> str | None:
    """Return an entity tag for what is made of a value that is kept as `payload`, None for none.

    Another tag for another language, time zone or release, each of which may make something else
    of it. And for other `versions`: a write may come between this and what is made of the value,
    and when it is taken back, nobody must be told that he has what he has not.
    """
    if payload is None:
        return None
    try:
        said = [code_version(), *(str(now()) for now in NAMED.values())]
    except TypeError:  # No other process knows this time zone.
        return None
    said += [f"{tag}={version}" for tag, version in sorted((versions or {}).items())]
    return strong_etag(unwrap(payload), "\n".join(said).encode(errors="surrogatepass"))
