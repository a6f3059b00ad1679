from django import template

from example_project.airports import models

register = template.Library()


@register.filter
def flag(code: str) -> str:
    """Return the flag of the country with the two-letter `code`."""
    return models.flag(code)


@register.filter
def metres(feet: float) -> int:
    return round(feet * 0.3048)


@register.filter
def latitude(degrees: float) -> str:
    return f"{abs(degrees):.4f}° {'N' if degrees >= 0 else 'S'}"


@register.filter
def longitude(degrees: float) -> str:
    return f"{abs(degrees):.4f}° {'E' if degrees >= 0 else 'W'}"


@register.filter
def thousands(number: float) -> str:
    """Return `number` rounded to a whole one, its digits in groups of three."""
    return f"{number:,.0f}"
