"""Whether what observes writes is still in its place."""

from typing import Any, Final

from django.core.checks import CheckMessage, Error, register

from cache_invalidation import watcher
from cache_invalidation.writes import bulk, commit, driver, receivers, saves

_OBSERVERS: Final = {
    "A receiver of pre_delete, m2m_changed or a wired signal is not connected": receivers,
    "Model.save_base or Model._save_table is not wrapped": saves,
    "QuerySet.update or QuerySet.bulk_create is not wrapped": bulk,
    "CursorWrapper.callproc, or another method that executes SQL, is not wrapped": driver,
    "The commit() of a database connection is not wrapped": commit,
    "The execute_wrapper of a database connection is not there": watcher,
}


@register
def check_observers(**kwargs: Any) -> list[CheckMessage]:
    """E011: writes that nobody sees, because somebody has removed what does."""
    return [
        Error(
            f"{missing} any more, so writes are not seen.",
            hint="Other code, perhaps a test helper or a package that patches Django as well, has "
            "undone it since Django started. Have it put back what it found.",
            id="cache_invalidation.E011",
        )
        for missing, observer in _OBSERVERS.items()
        if not observer.is_installed()
    ]
