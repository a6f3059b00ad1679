from django.urls import include, path
from rest_framework.routers import SimpleRouter

from tests.bookshop import api, views

router = SimpleRouter()
router.register("books", api.Books, basename="book")

urlpatterns = [
    path("", views.home, name="home"),
    path("categories/<int:pk>/", views.category, name="category"),
    path("tags/<int:pk>/", views.tag, name="tag"),
    path("authors/<int:pk>/", views.author, name="author"),
    path("books/<int:pk>/", views.book, name="book"),
    path("api/", include(router.urls)),
]
