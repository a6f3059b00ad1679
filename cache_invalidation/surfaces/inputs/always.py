"""What is an input of everything that is rendered, whether it is looked at or not."""

from typing import Any, Final

from django.urls import base, get_script_prefix, get_urlconf
from django.utils.translation import get_language

from cache_invalidation.conf import of_django, settings
from cache_invalidation.context import is_unset, variable_of
from cache_invalidation.reads.varying import zone_now
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray

_URLCONF: Final = variable_of(getattr(base, "_urlconfs", None))


def always(plain: tuple[str | bool | None, ...], *further: Any) -> str:
    """Return the portrait of how texts, numbers, times and addresses are rendered now.

    And of what is `plain`, and of `further`. Raises `Opaque` for one that cannot be portrayed.
    """
    django = of_django()
    said = (
        *(get_language(), _zone_now()),
        *(bool(django.USE_TZ), bool(django.USE_I18N)),
        *(bool(django.USE_THOUSAND_SEPARATOR), bool(django.DEBUG)),
        *(_urlconf_now(), get_script_prefix(), settings.CODE_VERSION),
    )
    # What is plain needs no portrait, which would take longer than the rest of many a hit.
    return f"{said!r}{plain!r}{portray(further) if further else ''}"


def _urlconf_now() -> str:
    return str(None if is_unset(_URLCONF) else get_urlconf())


def _zone_now() -> str | bytes:
    try:
        return zone_now()
    except TypeError as error:
        raise Opaque(str(error)) from None
