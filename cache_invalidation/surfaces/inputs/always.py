"""What is an input of everything that is rendered, whether it is looked at or not."""

import pickle
from datetime import tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import get_script_prefix, get_urlconf
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language

from cache_invalidation.conf import of_django, settings
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray


def always(plain: tuple[str | bool | None, ...], *further: Any) -> str:
    """Return the portrait of how texts, numbers, times and addresses are rendered now.

    And of what is `plain`, and of `further`. Raises `Opaque` for one that cannot be portrayed.
    """
    django = of_django()
    said = (
        *(get_language(), _zone(get_current_timezone())),
        *(bool(django.USE_TZ), bool(django.USE_I18N)),
        *(bool(django.USE_THOUSAND_SEPARATOR), bool(django.DEBUG)),
        *(str(get_urlconf()), get_script_prefix(), settings.CODE_VERSION),
    )
    # What is plain needs no portrait, which would take longer than the rest of many a hit.
    return f"{said!r}{plain!r}{portray(further) if further else ''}"


def _zone(zone: tzinfo) -> str | bytes:
    """Return what tells a time zone from others, of which some have the same name."""
    return _zone_of_python(zone) if type(zone) is ZoneInfo else _portrait(zone)


# Of these, none is equal to another one.
@lru_cache(maxsize=1000)
def _zone_of_python(zone: ZoneInfo) -> str | bytes:
    return _portrait(zone)


def _portrait(zone: tzinfo) -> str | bytes:
    try:
        return portray(zone)
    except Opaque:
        # Of a library, such as pytz.
        try:
            return pickle.dumps(zone)
        except Exception:  # noqa: BLE001 - of whatever class it is
            raise Opaque(f"{zone} is no time zone that others know") from None
