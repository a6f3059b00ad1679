"""Which tags a search for the nearest airports depends on, and which an airport touches.

The earth is laid out in cells, once for each radius that a search may have. An airport drops the
cells it is in; a search depends on the cells it looks into. So a moved airport costs the pages
around its old and its new place, and none of the others.
"""

from example_project.airports import geo

# A search starts with the first radius and takes the next one where it does not find enough.
RADII_KM = (100, 400, 1600)

# Degrees: as wide as the search itself, so that one looks into four cells or a few more.
_CELL_SIZES = {100: 2, 400: 8, 1600: 32}


def tags_of_search(latitude: float, longitude: float, radius_km: int) -> list[str]:
    """Return the tags of the cells which a search around a point looks into."""
    box = geo.box_around((latitude, longitude), radius_km)
    return [_tag(radius_km, cell) for cell in geo.cells(box, _CELL_SIZES[radius_km])]


def tags_of_place(latitude: float, longitude: float) -> list[str]:
    """Return the tags of the cells in which a point lies, one for each radius."""
    point = (latitude, longitude)
    return [_tag(radius, geo.cell(point, _CELL_SIZES[radius])) for radius in RADII_KM]


def _tag(radius_km: int, cell: geo.Cell) -> str:
    band, column = cell
    return f"near:{radius_km}:{band}:{column}"
