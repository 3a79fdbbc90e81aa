"""What the shop shows: one page of what there is, with prices."""

from collections.abc import Mapping
from html import escape


def render(version: str, catalogue: Mapping[str, int]) -> str:
    """Return the page.

    Args:
        version: Of the release, for the foot of the page.
        catalogue: Products and their prices in cents.
    """
    rows = "".join(
        f"<li>{escape(name)} {cents // 100}.{cents % 100:02}</li>"
        for name, cents in catalogue.items()
    )
    return f"<!doctype html><title>Shop</title><ul>{rows}</ul><p>release {escape(version)}</p>\n"
