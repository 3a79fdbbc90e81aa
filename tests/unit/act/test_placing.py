"""Who freezes or thaws a place is told when it is none, or was not frozen."""

import pytest
from test_concerns import decision, told

from deploymark.act.placing import remark_on

KNOWN = [("shop", "prod"), ("cart", "prod"), ("shop", "dev")]


@pytest.mark.parametrize(
    ("place", "remark"),
    [
        ((None, "prod"), ""),
        (("shop", "prod"), ""),
        (("shop", "*"), ""),
        ((None, "*"), ""),
        ((None, "prd"), "Nothing is known of prd here; did you mean prod?"),
        ((None, "moon"), "Nothing is known of moon here."),
        (("shp", "prod"), "Nothing is known of shp here; did you mean shop?"),
        (("cart", "dev"), "Nothing is known of cart here."),
    ],
)
def test_a_place_that_nobody_knows_is_said_to_be_none(
    place: tuple[str | None, str], remark: str
) -> None:
    assert remark_on(place, KNOWN, (), lifts=False) == remark


@pytest.mark.parametrize(
    ("place", "remark"),
    [
        ((None, "prod"), ""),
        (("shop", "prod"), ""),
        ((None, "*"), ""),
        ((None, "dev"), "It was not frozen."),
        (("cart", "prod"), "It was not frozen."),
    ],
)
def test_who_lifts_what_was_not_frozen_hears_that(
    place: tuple[str | None, str], remark: str
) -> None:
    orders = told(decision("freeze", service="shop", environment="prod"))
    assert remark_on(place, KNOWN, orders, lifts=True) == remark


def test_what_a_wider_freeze_holds_is_not_thawed_by_a_narrow_word() -> None:
    orders = told(decision("freeze", environment="prod", actor="ada"))
    said = remark_on(("shop", "prod"), KNOWN, orders, lifts=True)
    assert said == "It is frozen still: ada froze everything in prod."
