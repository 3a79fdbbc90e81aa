"""Every dialect does what its golden files tell, and what every dialect must."""

from pathlib import Path

import pytest

from deploymark.ports import Dialect
from deploymark.runtime.dialects import all_dialects
from deploymark.testing.dialect import exercise_dialect

_GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
# Of each golden request; the soak test tries a hundred times as many.
_MUTATIONS = 5
# Those with many golden requests.
_FEWER = {"datadog": 2, "github_webhooks": 2}


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda each: each.name)
def test_a_dialect_keeps_the_contract_of_all(dialect: Dialect) -> None:
    exercise_dialect(
        dialect, _GOLDEN / dialect.name, mutations=_FEWER.get(dialect.name, _MUTATIONS)
    )
