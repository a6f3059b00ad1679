import pytest
from django.contrib.auth import get_user_model
from django.db import connection
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
    text_of(client, "/")
    response = client.get("/")
    assert 'db;desc="0"' in response["Server-Timing"]
    assert "0 database" in response.content.decode()


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


def test_an_edit_that_moves_nothing_leaves_the_counts_cached(client):
    text_of(client, "/")
    airport = Airport.objects.get(icao="LSZH")
    airport.elevation_ft += 1
    airport.save()
    assert queries_of(client, "/") == 0
    assert queries_of(client, "/countries/AT/") > 0
    assert queries_of(client, "/countries/CH/") > 0


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


@pytest.mark.parametrize(
    "url", ["airport/", "airport/?q=LSZH", "country/", "country/CH/change/", "country/add/"]
)
def test_the_admin_renders(editor, url):
    assert text_of(editor, f"/admin/airports/{url}")
