"""Moto, and an account in it that cannot be a real one."""

import logging
from collections.abc import Iterator

import pytest
from account import ENVIRONMENT, Account, account
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, int]]:
    """Where moto answers."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture(autouse=True)
def made_up_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of this folder can reach AWS."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)


@pytest.fixture
def aws(moto: tuple[str, int]) -> Iterator[Account]:
    """An account with the function `shop`."""
    with account(moto) as found:
        yield found
