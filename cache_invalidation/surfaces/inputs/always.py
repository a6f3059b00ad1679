"""What is an input of everything that is rendered, whether it is looked at or not."""

from typing import Any, Final

from django.urls import base, get_script_prefix, get_urlconf

from cache_invalidation.conf import of_django, settings
from cache_invalidation.context import is_unset, variable_of
from cache_invalidation.reads.varying import language_now, zone_now
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray

_URLCONF: Final = variable_of(getattr(base, "_urlconfs", None))
_PREFIX: Final = variable_of(getattr(base, "_prefixes", None))


def always(plain: tuple[str | bool | None, ...], *further: Any) -> str:
    """Return the portrait of how texts, numbers, times and addresses are rendered now.

    And of what is `plain`, and of `further`. Raises `Opaque` for one that cannot be portrayed.
    """
    django = of_django()
    said = (
        *(language_now(), _zone_now()),
        *(bool(django.USE_TZ), bool(django.USE_I18N)),
        *(bool(django.USE_THOUSAND_SEPARATOR), bool(django.DEBUG)),
        *(_urlconf_now(), _prefix_now(), settings.CODE_VERSION),
    )
    # What is plain needs no portrait, which would take longer than the rest of many a hit.
    return f"{said!r}{plain!r}{','.join(map(portray, further))}"


def _urlconf_now() -> str:
    return str(None if is_unset(_URLCONF) else get_urlconf())


def _prefix_now() -> str:
    return "/" if is_unset(_PREFIX) else get_script_prefix()


def _zone_now() -> str | bytes:
    try:
        return zone_now()
    except TypeError as error:
        raise Opaque(str(error)) from None
