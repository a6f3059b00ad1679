"""Whatever is called a check is one that Django runs."""

import pkgutil
from importlib import import_module

from django.core.checks.registry import registry

from cache_invalidation import checks


def test_django_runs_every_check():
    run = registry.get_checks(include_deployment_checks=True)
    names = [module.name for module in pkgutil.iter_modules(checks.__path__)]
    found = [
        check
        for module in (import_module(f"{checks.__name__}.{name}") for name in names)
        for name, check in vars(module).items()
        if name.startswith("check_") and check.__module__ == module.__name__
    ]
    assert len(found) > 20
    assert [check.__qualname__ for check in found if check not in run] == []
