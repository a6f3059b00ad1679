import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport, Country

pytestmark = pytest.mark.usefixtures("alpine")

URLS = [
    "/",
    "/countries/CH/",
    "/countries/AT/",
    "/countries/LI/",
    "/airports/LSZH/",
    "/airports/LOWW/",
    "/records/",
    "/search/",
    "/search/?q=zrh",
    "/search/?q=nothing+like+it",
]


def text_of(client, url):
    response = client.get(url)
    assert response.status_code == 200, url
    return response.content.decode()


def queries_of(client, url):
    with CaptureQueriesContext(connection) as captured:
        text_of(client, url)
    return len(captured)


@pytest.mark.parametrize("url", URLS)
def test_pages_render(client, url):
    assert "</html>" in text_of(client, url)


@pytest.mark.parametrize("url", [url for url in URLS if "search" not in url])
def test_the_second_visit_asks_the_database_nothing(client, url):
    assert queries_of(client, url) > 0
    assert queries_of(client, url) == 0


@pytest.mark.parametrize(
    "url", ["/countries/XX/", "/countries/CHE/", "/airports/XXXX/", "/airports/x/"]
)
def test_what_does_not_exist_is_not_found(client, url):
    assert client.get(url).status_code == 404


def test_a_page_says_what_it_cost(client):
    assert 'db;desc="0"' not in client.get("/")["Server-Timing"]
    assert 'db;desc="0"' in client.get("/")["Server-Timing"]


@pytest.mark.parametrize("url", [url for url in URLS if "search" not in url])
def test_who_has_a_page_is_told_that_it_is_the_same(client, url):
    held = {"If-None-Match": client.get(url)["ETag"]}
    response = client.get(url, headers=held)
    assert (response.status_code, response.content) == (304, b"")
    assert response["Cache-Status"] == "cache_invalidation; hit"


def test_moving_an_airport_refreshes_both_countries_and_what_counts_them(client):
    name = Airport.objects.get(icao="LSZH").name
    before = {url: text_of(client, url) for url in URLS}
    assert name in before["/countries/CH/"]
    assert name not in before["/countries/AT/"]

    airport = Airport.objects.get(icao="LSZH")
    airport.country_id = "AT"
    airport.save()

    assert name not in text_of(client, "/countries/CH/")
    assert name in text_of(client, "/countries/AT/")
    assert "Austria" in text_of(client, "/airports/LSZH/")
    swiss, austrian = (Airport.objects.filter(country=code).count() for code in ("CH", "AT"))
    for count in (swiss, austrian):
        assert f'<span class="count">{count}</span>' in text_of(client, "/")
        assert f'<span class="count">{count}</span>' in text_of(client, "/records/")


def test_an_edit_leaves_pages_of_airports_far_away_cached(client):
    text_of(client, "/airports/LOWW/")
    text_of(client, "/airports/LSZH/")
    airport = Airport.objects.get(icao="LSGG")
    airport.elevation_ft += 1
    airport.save()
    assert queries_of(client, "/airports/LOWW/") == 0
    airport.latitude, airport.longitude = 48.1, 16.5
    airport.save()
    assert airport.name in text_of(client, "/airports/LOWW/")


def test_an_edit_leaves_other_countries_cached(client):
    text_of(client, "/countries/AT/")
    airport = Airport.objects.get(icao="LSZH")
    airport.name = "Zurich"
    airport.save()
    assert queries_of(client, "/countries/AT/") == 0


def test_a_renamed_country_is_renamed_everywhere(client):
    for url in URLS:
        text_of(client, url)
    country = Country.objects.get(code="CH")
    country.name = "Helvetia"
    country.save()
    for url in ("/", "/countries/CH/", "/airports/LSZH/", "/records/"):
        assert "Helvetia" in text_of(client, url), url


def test_an_airport_that_was_not_there_is_found_once_it_is(client):
    assert client.get("/airports/XXXX/").status_code == 404
    airport = Airport.objects.get(icao="LSZH")
    airport.pk, airport.icao = None, "XXXX"
    airport.save()
    assert client.get("/airports/XXXX/").status_code == 200
    airport.delete()
    assert client.get("/airports/XXXX/").status_code == 404


def test_a_country_that_was_not_there_is_found_once_it_is(client):
    assert client.get("/countries/ZZ/").status_code == 404
    Country.objects.create(code="ZZ", name="Nowhere")
    assert "Nowhere" in text_of(client, "/countries/ZZ/")


def test_a_new_highest_airport_is_a_record(client):
    assert "Stratosphere" not in text_of(client, "/records/")
    airport = Airport.objects.get(icao="LSZH")
    airport.elevation_ft, airport.name = 30_000, "Stratosphere"
    airport.save()
    assert "Stratosphere" in text_of(client, "/records/")


def test_a_load_refreshes_the_pages_and_a_second_one_leaves_them_cached(client):
    text_of(client, "/")
    assert load(read_airports(["LU"])) > 0
    assert "Luxembourg" in text_of(client, "/")
    assert load(read_airports(["LU"])) == 0
    assert queries_of(client, "/") == 0


def test_search_shows_the_airport_with_the_code_first(client):
    page = text_of(client, "/search/?q=VIE")
    assert page.index("LOWW") < page.index("</tr>", page.index("<tbody>"))


def test_a_page_number_that_makes_no_sense_shows_some_page(client):
    for number in ("0", "-1", "999", "x", "²", ""):
        assert "</table>" in text_of(client, f"/countries/CH/?page={number}")


@pytest.fixture
def editor(client):
    user = get_user_model().objects.create_superuser("editor")
    client.force_login(user)
    return client


def test_an_edit_in_the_admin_is_on_the_page(editor):
    text_of(editor, "/airports/LSZH/")
    airport = Airport.objects.get(icao="LSZH")
    form = {
        "icao": "LSZH",
        "iata": "ZRH",
        "name": "Kloten",
        "city": "",
        "subdivision": "",
        "country": "LI",
        "elevation_ft": 1,
        "latitude": airport.latitude,
        "longitude": airport.longitude,
        "timezone": airport.timezone,
    }
    response = editor.post(f"/admin/airports/airport/{airport.pk}/change/", form)
    assert response.status_code == 302
    page = text_of(editor, "/airports/LSZH/")
    assert "Kloten" in page
    assert "Liechtenstein" in page
    assert "Kloten" in text_of(editor, "/countries/LI/")


@pytest.fixture
def visitors(site):
    """Two who are logged in, one who has edited something, and somebody else."""
    found = {name: Client() for name in ("ann", "ben", "")}
    for name in ("ann", "ben"):
        user = get_user_model().objects.create_user(name)
        found[name].force_login(user)
    log_edit("ann", "LSZH")
    return found


def log_edit(name, icao):
    user = get_user_model().objects.get(username=name)
    airports = Airport.objects.filter(icao=icao)
    LogEntry.objects.log_actions(user.pk, airports, CHANGE, "", single_object=True)


@pytest.mark.parametrize("url", ["/", "/search/?q=vienna"])
def test_visitors_see_their_own_edits_and_nobody_elses(visitors, url):
    for _ in range(2):
        assert "LSZH" in text_of(visitors["ann"], url)
        assert "ben" in (page := text_of(visitors["ben"], url))
        assert "LSZH" not in page
        assert "What you edited last" not in text_of(visitors[""], url)
    log_edit("ben", "LOWI")
    assert "LOWI" in text_of(visitors["ben"], url)
    assert "LOWI" not in text_of(visitors["ann"], url)


def test_the_block_of_a_page_that_is_not_cached_is_cached(visitors):
    with CaptureQueriesContext(connection) as first:
        text_of(visitors["ann"], "/search/?q=vienna")
    with CaptureQueriesContext(connection) as second:
        text_of(visitors["ann"], "/search/?q=zurich")
    assert "django_admin_log" in str(first.captured_queries)
    assert "django_admin_log" not in str(second.captured_queries)


def status_of(client, url):
    return client.get(url)["Cache-Status"].partition("; ")[2]


def test_a_page_that_does_not_look_at_the_user_is_one_for_all(visitors):
    statuses = [status_of(client, "/airports/LSZH/") for client in visitors.values()]
    assert statuses == ["fwd=miss; stored", "hit", "hit"]
    assert {status_of(client, "/") for client in visitors.values()} == {"fwd=miss; stored"}
    assert {status_of(client, "/") for client in visitors.values()} == {"hit"}


@pytest.mark.parametrize("url", ["/api/airports/?search=CH", "/api/airports/LSZH/"])
def test_an_edit_is_in_the_list_that_is_cached(client, url):
    assert status_of(client, url) == "fwd=miss; stored"
    assert status_of(client, url) == "hit"
    Airport.objects.filter(icao="LSZH").update(name="Kloten")
    assert "Kloten" in text_of(client, url)


@pytest.mark.parametrize(
    "url", ["airport/", "airport/?q=LSZH", "country/", "country/CH/change/", "country/add/"]
)
def test_the_admin_renders(editor, url):
    assert text_of(editor, f"/admin/airports/{url}")
