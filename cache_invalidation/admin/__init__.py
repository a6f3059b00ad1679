"""The pages for operators, in whichever admin site; and what a project adds to its own."""

from django.contrib import admin

from cache_invalidation.admin.advice import AdviceAdmin
from cache_invalidation.admin.audit import AuditAdmin
from cache_invalidation.admin.dashboard import DashboardAdmin
from cache_invalidation.admin.invalidating import InvalidateAdmin
from cache_invalidation.admin.mixins import InvalidateCacheMixin
from cache_invalidation.admin.outbox import OutboxAdmin
from cache_invalidation.admin.pages import Advice, Dashboard, Invalidate, Registry
from cache_invalidation.admin.rules import RegistryAdmin
from cache_invalidation.models import AuditEntry, PendingInvalidation

__all__ = ["InvalidateCacheMixin", "register"]


def register(site: admin.AdminSite) -> None:
    """Add the pages to `site`; Django's own has them already."""
    site.register(Dashboard, DashboardAdmin)
    site.register(Advice, AdviceAdmin)
    site.register(Registry, RegistryAdmin)
    site.register(Invalidate, InvalidateAdmin)
    site.register(PendingInvalidation, OutboxAdmin)
    site.register(AuditEntry, AuditAdmin)


register(admin.site)
