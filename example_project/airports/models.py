"""Countries and their airports."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse

from example_project.airports import bands

# The first of the regional indicator letters; two of them are shown as a flag.
_REGIONAL_A = 0x1F1E6


class Country(models.Model):
    """A country or territory, by its ISO 3166 code of two letters."""

    code = models.CharField(
        primary_key=True, max_length=2, validators=[RegexValidator(r"^[A-Z]{2}\Z")]
    )
    name = models.CharField(max_length=60, unique=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("airports:country", args=[self.code])


class Airport(models.Model):
    """An airport, airfield or heliport with an ICAO code."""

    # The data has a code with a leading underscore for airports that have none, or none yet.
    icao = models.CharField(
        "ICAO code", max_length=4, unique=True, validators=[RegexValidator(r"^[A-Z0-9_]{4}\Z")]
    )
    iata = models.CharField("IATA code", max_length=3, blank=True, db_index=True)
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=60, blank=True)
    subdivision = models.CharField(max_length=60, blank=True)
    country = models.ForeignKey(Country, on_delete=models.PROTECT, related_name="airports")
    elevation_ft = models.IntegerField("elevation (ft)")
    latitude = models.FloatField(validators=[MinValueValidator(-90), MaxValueValidator(90)])
    longitude = models.FloatField(validators=[MinValueValidator(-180), MaxValueValidator(180)])
    timezone = models.CharField(max_length=40)

    class Meta:
        ordering = ["name", "icao"]
        indexes = [models.Index(fields=["latitude", "longitude"], name="airport_position")]

    def __str__(self) -> str:
        return f"{self.name} ({self.icao})"

    def get_absolute_url(self) -> str:
        return reverse("airports:airport", args=[self.icao])

    @property
    def elevation_band(self) -> int:
        return bands.band("elevation_ft", self.elevation_ft)

    @property
    def latitude_band(self) -> int:
        return bands.band("latitude", self.latitude)


def flag(code: str) -> str:
    """Return the flag of the country with the two-letter `code`."""
    return "".join(chr(_REGIONAL_A + ord(letter) - ord("A")) for letter in code)
