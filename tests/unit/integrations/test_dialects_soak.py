"""Each dialect, for many minutes: requests that nobody meant, a thousand of each."""

from pathlib import Path

import pytest

from deploymark.ports import Dialect
from deploymark.runtime.dialects import all_dialects
from deploymark.testing.dialect import fuzz_dialect

_GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
_MUTATIONS = 1_000
_FIRST = 1_000_000  # none of the seeds that the suite of every day tries


@pytest.mark.soak
@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda each: each.name)
def test_no_mutation_of_a_golden_request_ends_in_a_5xx(dialect: Dialect) -> None:
    fuzz_dialect(dialect, _GOLDEN / dialect.name, mutations=_MUTATIONS, first=_FIRST)
