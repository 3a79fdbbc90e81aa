"""Trees that the conformance tests share."""

import pytest
from reference_tree import ReferenceTree


@pytest.fixture(scope="session")
def small_tree() -> ReferenceTree:
    """1,025 entries: one more than four tiles."""
    return ReferenceTree.numbered(1025)


@pytest.fixture(scope="session")
def large_tree() -> ReferenceTree:
    """A million entries, for random sizes."""
    return ReferenceTree.numbered(1_000_001)
