"""Which names are those of production."""

import pytest

from deploymark.model.environment import is_production


@pytest.mark.parametrize("name", ["prod", "PROD", "eu-prod", "production.2", "live", "shop/prd"])
def test_a_word_of_the_name_makes_it_production(name: str) -> None:
    assert is_production(name)


@pytest.mark.parametrize("name", ["", "staging", "product", "reproduction", "preprod", "delivery"])
def test_a_part_of_a_word_does_not(name: str) -> None:
    assert not is_production(name)
