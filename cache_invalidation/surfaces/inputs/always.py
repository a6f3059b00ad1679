"""What is an input of everything that is rendered, whether it is looked at or not."""

from typing import Any

from django.conf import settings as django_settings
from django.urls import get_script_prefix, get_urlconf
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language

from cache_invalidation.conf import settings
from cache_invalidation.surfaces.inputs.portraits import portray


def always(*further: Any) -> str:
    """Return the portrait of how texts, numbers, times and addresses are rendered now.

    And of `further`. Raises `Opaque` for one that cannot be portrayed.
    """
    return portray(
        (
            *(get_language(), str(get_current_timezone())),
            *(django_settings.USE_TZ, django_settings.USE_I18N),
            *(django_settings.USE_THOUSAND_SEPARATOR, django_settings.DEBUG),
            *(str(get_urlconf()), get_script_prefix(), settings.CODE_VERSION),
            *further,
        )
    )
