"""What is an input of everything that is rendered, whether it is looked at or not."""

import pickle
from datetime import tzinfo
from typing import Any

from django.conf import settings as django_settings
from django.urls import get_script_prefix, get_urlconf
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language

from cache_invalidation.conf import settings
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray


def always(*further: Any) -> str:
    """Return the portrait of how texts, numbers, times and addresses are rendered now.

    And of `further`. Raises `Opaque` for one that cannot be portrayed.
    """
    return portray(
        (
            *(get_language(), _zone(get_current_timezone())),
            *(django_settings.USE_TZ, django_settings.USE_I18N),
            *(django_settings.USE_THOUSAND_SEPARATOR, django_settings.DEBUG),
            *(str(get_urlconf()), get_script_prefix(), settings.CODE_VERSION),
            *further,
        )
    )


def _zone(zone: tzinfo) -> Any:
    """Return what tells a time zone from others, of which some have the same name."""
    try:
        return portray(zone)
    except Opaque:
        # Of a library, such as pytz.
        try:
            return pickle.dumps(zone)
        except Exception:  # noqa: BLE001 - of whatever class it is
            raise Opaque(f"{zone} is no time zone that others know") from None
