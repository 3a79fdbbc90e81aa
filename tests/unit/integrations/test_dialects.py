"""Every dialect does what its golden files tell, and what every dialect must."""

from pathlib import Path

import pytest

from deploymark.ports import Dialect
from deploymark.runtime.dialects import all_dialects
from deploymark.testing.dialect import MUTATIONS, exercise_dialect

_GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
# Those with many golden requests, each of which costs as many mutations.
_FEWER = {"datadog": 12}


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda each: each.name)
def test_a_dialect_keeps_the_contract_of_all(dialect: Dialect) -> None:
    exercise_dialect(dialect, _GOLDEN / dialect.name, mutations=_FEWER.get(dialect.name, MUTATIONS))
