"""The shop without a cache."""

from tests.shop.urls import pages

urlpatterns = pages(lambda view: view)
