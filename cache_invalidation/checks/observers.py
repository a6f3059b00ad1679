"""Whether what observes writes is still in its place."""

from typing import Any, Final

from django.apps import apps
from django.core.checks import Error
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, QuerySet

from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.observing import watcher
from cache_invalidation.writes import bulk, commit, deletions, driver, receivers, saves

_OBSERVERS: Final = {
    "A receiver of pre_delete, m2m_changed or a wired signal is not connected": receivers,
    "Model.save_base or Model._save_table is not wrapped": saves,
    "QuerySet.update or QuerySet.bulk_create is not wrapped": bulk,
    "CursorWrapper.callproc, or another method that executes SQL, is not wrapped": driver,
    "Collector.delete is not wrapped": deletions,
    "The commit() of a database connection is not wrapped": commit,
    "The execute_wrapper of a database connection is not there": watcher,
}

_WRAPPED: Final = (
    (Model, "_save_table"),
    (QuerySet, "update"),
    (QuerySet, "bulk_create"),
    (CursorWrapper, "callproc"),
)


@register()
def check_observers(**kwargs: Any) -> Messages:
    """E011: writes that nobody sees, because somebody has removed what does."""
    undone = [name for name, observer in _OBSERVERS.items() if not observer.is_installed()]
    if not undone:
        return
    hint = _order() or (
        "Other code, perhaps a test helper or a package that patches Django as well, has undone it "
        "since Django started. Have it put back what it found."
    )
    for name in undone:
        problem = f"{name} any more, so writes are not seen."
        yield Error(problem, hint=hint, id="cache_invalidation.E011")


def _order() -> str | None:
    """Return what to do about an app that patches Django, and does so after this one."""
    configs = list(apps.get_app_configs())
    if not apps.is_installed("cache_invalidation"):
        return None  # For the time of a test, that is.
    ours = configs.index(apps.get_app_config("cache_invalidation"))
    for owner, name in _WRAPPED:
        # Not `__module__`, which whoever replaces a method may have taken over from it.
        module = getattr(getattr(owner, name), "__globals__", {}).get("__name__", "")
        for config in configs[ours + 1 :]:
            if f"{module}.".startswith(f"{config.name}."):
                return (
                    f"{config.name!r} replaces {owner.__name__}.{name}. Put it before "
                    "'cache_invalidation' in INSTALLED_APPS."
                )
    return None
