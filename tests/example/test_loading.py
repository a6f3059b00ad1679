import pytest
from django.core.management import call_command

from example_project.airports.loading import load, read_airports, read_countries
from example_project.airports.models import Airport, Country

pytestmark = pytest.mark.django_db


def test_the_package_has_the_airports_of_the_world():
    airports = read_airports()
    assert len(airports) > 28_000
    assert {airport.country_id for airport in airports} <= {row.code for row in read_countries()}


def test_every_airport_would_pass_the_forms_of_the_admin():
    for airport in read_airports()[::10]:
        airport.clean_fields(exclude=["country"])


def test_loading_again_writes_nothing():
    airports = read_airports(["CH"])
    assert load(airports) == len(airports) == Airport.objects.count()
    assert load(read_airports(["CH"])) == 0


def test_only_what_differs_is_written():
    load(read_airports(["CH"]))
    Airport.objects.filter(icao="LSZH").update(name="Zurich", elevation_ft=0)
    done: list[int] = []
    assert load(read_airports(["CH"]), done.append) == 1
    assert Airport.objects.get(icao="LSZH").elevation_ft > 1000
    assert sum(done) == Airport.objects.count()


def test_what_the_package_does_not_know_is_left_alone():
    load(read_airports(["CH"]))
    Airport.objects.filter(icao="LSZH").update(icao="XXXX")
    Country.objects.filter(code="LI").update(name="FL")
    load(read_airports(["CH"]))
    assert {"LSZH", "XXXX"} <= set(Airport.objects.values_list("icao", flat=True))
    assert Country.objects.get(code="LI").name == "FL"


def test_the_command_loads_the_countries_it_is_given(capsys):
    call_command("load_airports", "li", "CH")
    count = Airport.objects.count()
    assert set(Airport.objects.values_list("country", flat=True)) == {"CH"}
    assert f"{count} of {count} airports were new or different." in capsys.readouterr().out
