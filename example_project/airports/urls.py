from django.urls import path, re_path

from example_project.airports import views

app_name = "airports"

# Only what can be a code is looked up. Otherwise anybody could fill the cache with "there is none"
# for words of any length.
urlpatterns = [
    path("", views.home, name="home"),
    re_path(r"^countries/(?P<code>[A-Z]{2})/$", views.country, name="country"),
    re_path(r"^airports/(?P<icao>[A-Z0-9_]{4})/$", views.airport, name="airport"),
    path("records/", views.records, name="records"),
    path("search/", views.search, name="search"),
]
