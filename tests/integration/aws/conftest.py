"""Moto, and an account in it that cannot be a real one."""

from collections.abc import Iterator

import pytest
from account import Account, account, keep_from_aws, running_moto


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, int]]:
    """Where moto answers."""
    with running_moto() as found:
        yield found


@pytest.fixture(autouse=True)
def made_up_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of this folder can reach AWS."""
    keep_from_aws(monkeypatch)


@pytest.fixture
def aws(moto: tuple[str, int]) -> Iterator[Account]:
    """An account with the function `shop`."""
    with account(moto) as found:
        yield found
