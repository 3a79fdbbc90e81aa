"""How a configuration sets the front door up."""

import pytest

from deploymark.runtime.config import parse_configuration
from deploymark.runtime.front import door_settings

HOSTS: dict[str, tuple[dict[str, object], set[str], bool]] = {
    "nothing": ({}, {"localhost", "127.0.0.1", "[::1]"}, False),
    "a name behind a proxy": ({"url": "https://dm.example.com"}, {"dm.example.com"}, True),
    "a name with a port": ({"url": "http://dm.example.com:8443/"}, {"dm.example.com"}, False),
    "an address of IPv6": ({"url": "https://[2001:db8::1]"}, {"[2001:db8::1]"}, True),
    "an address of IPv6 with a port": (
        {"url": "https://[2001:db8::1]:8443"},
        {"[2001:db8::1]"},
        True,
    ),
    "more names": (
        {"hosts": ["one.example", "Two.Example"]},
        {"one.example", "two.example"},
        False,
    ),
}


@pytest.mark.parametrize("case", HOSTS)
def test_the_door_answers_to_its_own_names_and_those_of_the_configuration(case: str) -> None:
    server, names, secure = HOSTS[case]
    settings = door_settings(parse_configuration({"server": server}), "127.0.0.1")
    assert settings.hosts is not None
    assert settings.hosts == names | {"localhost", "127.0.0.1", "[::1]"}
    assert settings.secure_cookies is secure
