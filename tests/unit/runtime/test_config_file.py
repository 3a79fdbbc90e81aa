"""The configuration says what it was told and refuses what it does not know."""

import os
import tomllib
from pathlib import Path

import msgspec
import pytest

from deploymark.cli import main, up
from deploymark.errors import UsageError
from deploymark.projections.expectations import Deadlines
from deploymark.runtime import serve
from deploymark.runtime.config import (
    DEFAULT_DATA,
    Configuration,
    Environment,
    parse_configuration,
    read_configuration,
    read_environment,
)

_SECTIONS = {
    field.name: {inner.name for inner in msgspec.structs.fields(field.type)}
    for field in msgspec.structs.fields(Configuration)
    # Of these people give the names.
    if field.name not in {"dialects", "services", "rollouts", "prometheus", "oidc"}
}
EVERYTHING = """
[server]
listen = "0.0.0.0:9000"
url = "https://dm.example.com"
hosts = ["dm.internal", "dm"]
metrics = "reader"
simulated = true

[log]
access = "private"
publish_seconds = 2.5

[auth]
signed_without_token = false
requests_per_second = 10
requests_burst = 20

[auth.identities.ann]
git_names = ["Ann Ames"]

[policy]
anonymous_environments = ["sandbox-*"]
allow_email = true
allow_phone = true
signed_environments = ["prod"]

[policy.deadlines]
marker = 1

[policy.environments.prod]
action_assurance = "signed"

[act]
automation = false
turn_seconds = 0.5
workers = 3

[[policy.rules]]
name = "owned"
kind = "owner"

[telemetry]
enabled = false
retention_hours = 12.5
max_bytes = 33554432
max_body_bytes = 1048576
gauges = ["process.cpu.utilization"]
bucket_seconds = 1
lag_seconds = 2

[alerts]
runbooks = "https://docs.example/alerts"
repeat_seconds = 30
quiet_seconds = 0
least_seconds = 0

[[alerts.notifiers]]
kind = "alertmanager"
url = "http://am.example:9093/prefix"
user = "deploymark"
secret_file = "am.secret"
urgencies = ["page"]
allow_plain_http = true
"""


def _written(folder: Path, text: str) -> Path:
    file = folder / "deploymark.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_setting_of_every_section_can_be_set(tmp_path: Path) -> None:
    configuration = read_configuration(_written(tmp_path, EVERYTHING))
    said = tomllib.loads(EVERYTHING)
    assert {name: set(section) for name, section in said.items()} == _SECTIONS
    expected = msgspec.to_builtins(configuration)
    assert expected.pop("services") == {}
    assert expected.pop("rollouts") == {}
    assert expected.pop("prometheus") == {}
    assert expected.pop("dialects") == {}
    assert expected.pop("oidc") == {}
    deadlines = expected["policy"].pop("deadlines")
    assert deadlines == msgspec.to_builtins(Deadlines(marker=1))
    del said["policy"]["deadlines"]
    expected["alerts"]["notifiers"][0]["urgencies"] = ["page"]
    assert [(each["name"], each["kind"]) for each in expected["policy"].pop("rules")] == [
        ("owned", "owner")
    ]
    del said["policy"]["rules"]
    assert expected["auth"].pop("identities")["ann"]["git_names"] == ("Ann Ames",)
    del said["auth"]["identities"]
    assert expected == {
        name: {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in section.items()
        }
        for name, section in said.items()
    }
    defaults = Configuration()
    for name, section in said.items():
        for key in section:
            changed = getattr(getattr(configuration, name), key)
            assert changed != getattr(getattr(defaults, name), key), f"{name}.{key}"


@pytest.mark.parametrize("instances", [12, {"eu-1": 8, "us-1": 4}])
def test_instances_are_a_number_or_a_table(instances: object) -> None:
    prod = {"clusters": ["eu-1", "us-1"], "instances": instances}
    read = parse_configuration({"services": {"shop": {"environments": {"prod": prod}}}})
    assert read.services["shop"].environments["prod"].total == 12


@pytest.mark.parametrize("instances", ["four", 1.5, [1]])
def test_anything_else_is_no_number_of_instances(instances: object) -> None:
    prod = {"instances": instances}
    with pytest.raises(UsageError, match="/services/shop/environments/prod/instances"):
        parse_configuration({"services": {"shop": {"environments": {"prod": prod}}}})


def test_without_a_file_or_with_an_empty_one_the_defaults_stand(tmp_path: Path) -> None:
    assert read_configuration(None) == Configuration()
    assert read_configuration(_written(tmp_path, "# nothing yet\n[server]\n")) == Configuration()


OIDC = "[oidc.ci]\nissuer = 'https://ci.example'\nsubjects = ['repo:a/*']\n"
NOTIFIER = "[[alerts.notifiers]]\nkind = 'webhook'\nurl = 'https://a.example/hook'\n"
WRONG: dict[str, tuple[str, str, str]] = {
    # what the file says, where the error points, what message and hint say of it
    "an unknown section": ("[sever]\nlisten = 'x:1'", "/sever", "`server`"),
    "an unknown setting": ("[server]\nlistne = 'x:1'", "/server/listne", "`listen`"),
    "a setting of another section": ("[server]\naccess = 'public'", "/server/access", "/log"),
    "a setting outside of its section": ("listen = 'x:1'", "/listen", "/server"),
    "a section that is a value": ("server = 'x:1'", "/server", "an object"),
    "a list of sections": ("[[server]]\nlisten = 'x:1'", "/server", "an object"),
    "a number for an address": ("[server]\nlisten = 8420", "/server/listen", "a string"),
    "an empty address": ("[server]\nlisten = ''", "/server/listen", "empty"),
    "a date for a URL": ("[server]\nurl = 2026-11-23", "/server/url", "a string"),
    "a URL without a scheme": ("[server]\nurl = 'dm.example.com'", "/server/url", "https://"),
    "a URL with a path": ("[server]\nurl = 'https://a.example/x'", "/server/url", "a path"),
    "a URL of another scheme": ("[server]\nurl = 'ftp://a.example'", "/server/url", "https://"),
    "a URL with a secret": ("[server]\nurl = 'https://u:p@a.example'", "/server/url", "https://"),
    "a text for a list": ("[server]\nhosts = 'a'", "/server/hosts", "a list"),
    "a list of numbers": ("[server]\nhosts = ['a', 1]", "/server/hosts/1", "a string"),
    "another word": ("[log]\naccess = 'hash'", "/log/access", "hashes"),
    "a text for a number": ("[log]\npublish_seconds = '1'", "/log/publish_seconds", "a number"),
    "no time at all": ("[log]\npublish_seconds = 0", "/log/publish_seconds", "0.01"),
    "more than a day": ("[log]\npublish_seconds = 1e6", "/log/publish_seconds", "86400"),
    "a text for a switch": (
        "[auth]\nsigned_without_token = 'no'",
        "/auth/signed_without_token",
        "true or false",
    ),
    "a number for a switch": ("[policy]\nallow_email = 1", "/policy/allow_email", "true or false"),
    "no requests at all": ("[auth]\nrequests_per_second = 0", "/auth/requests_per_second", "0.001"),
    "endless requests": (
        "[auth]\nrequests_per_second = inf",
        "/auth/requests_per_second",
        "1000000",
    ),
    "not a number": (
        "[auth]\nrequests_per_second = nan",
        "/auth/requests_per_second",
        "not nan",
    ),
    "a fraction of a request": ("[auth]\nrequests_burst = 1.5", "/auth/requests_burst", "whole"),
    "an empty glob": (
        "[policy]\nanonymous_environments = ['']",
        "/policy/anonymous_environments/0",
        "empty",
    ),
    "an issuer without an audience": (OIDC, "/oidc/ci/audience", "missing"),
    "an issuer whom nobody protects": (
        OIDC.replace("https", "http") + "audience = 'dm'",
        "/oidc/ci/issuer",
        "https",
    ),
    "an administrator from CI": (
        OIDC + "audience = 'dm'\nroles = ['admin']",
        "/oidc/ci/roles/0",
        "emitter",
    ),
    "a key that everybody knows": (
        OIDC + "audience = 'dm'\nalgorithms = ['HS256']",
        "/oidc/ci/algorithms/0",
        "ES256",
    ),
    "an emitter without a scope": (OIDC + "audience = 'dm'", "/oidc/ci/services", "services ="),
    "a setting of an issuer": (
        OIDC + "audience = 'dm'\nsubject = ['a']",
        "/oidc/ci/subject",
        "`subjects`",
    ),
    "a setting of a notifier": (
        NOTIFIER + "urgency = 'page'",
        "/alerts/notifiers/0/urgency",
        "`urgencies`",
    ),
    "a kind of notifier": (
        "[[alerts.notifiers]]\nkind='alertmanger'\nurl='https://a.example'",
        "/alerts/notifiers/0/kind",
        "`alertmanager`",
    ),
    "a notifier without a kind": (
        "[[alerts.notifiers]]\nurl='https://a.example'",
        "/alerts/notifiers/0/kind",
        "missing",
    ),
    "a notifier that is a table": (
        "[alerts.notifiers]\nkind='webhook'",
        "/alerts/notifiers",
        "a list",
    ),
    "an urgency": (NOTIFIER + "urgencies = ['pages']", "/alerts/notifiers/0/urgencies/0", "`page`"),
    "no urgency": (NOTIFIER + "urgencies = []", "/alerts/notifiers/0/urgencies", "at least 1"),
    "a webhook without a secret": (NOTIFIER, "/alerts/notifiers/0/secret_file", "whsec_"),
    "a webhook with a user": (
        NOTIFIER + "user = 'a'\nsecret_file = 'b'",
        "/alerts/notifiers/0/user",
        "Alertmanager",
    ),
    "a user without a secret": (
        "[[alerts.notifiers]]\nkind='alertmanager'\nurl='https://a.example'\nuser='a'",
        "/alerts/notifiers/0/user",
        "secret_file",
    ),
    "a notifier on another host in plain text": (
        "[[alerts.notifiers]]\nkind='alertmanager'\nurl='http://a.example'",
        "/alerts/notifiers/0/url",
        "allow_plain_http",
    ),
    "a rule without a kind": (
        "[[policy.rules]]\nname = 'a'",
        "/policy/rules/0/kind",
        "`kind` is required",
    ),
    "a rule of no known kind": (
        "[[policy.rules]]\nname = 'a'\nkind = 'tickets'",
        "/policy/rules/0/kind",
        "Did you mean `ticket`?",
    ),
    "a setting of another rule": (
        "[[policy.rules]]\nname = 'a'\nkind = 'owner'\nmost = 3",
        "/policy/rules/0/most",
        "not a known field",
    ),
    "a rule without a name": (
        "[[policy.rules]]\nkind = 'owner'",
        "/policy/rules/0/name",
        "`name` is required",
    ),
    "a fact of no example": (
        "policy.rules = [{name='a', kind='owner', examples=[{expect='pass', facts={owners=1}}]}]",
        "/policy/rules/0/examples/0/facts/owners",
        "`owner`",
    ),
    "a rule that does not say what its example expects": (
        "policy.rules = [{name='a', kind='owner', examples=[{expect='pass', facts={}}]}]",
        "/policy/rules/0/examples/0",
        "Nobody is named as its owner",
    ),
    "two rules of one name": (
        "policy.rules = [{name = 'a', kind = 'owner'}, {name = 'a', kind = 'ticket'}]",
        "/policy/rules/1/name",
        "Two rules",
    ),
    "a zone of no clock": (
        "[[policy.rules]]\nname = 'a'\nkind = 'window'\nzone = 'X/Y'\nweekly = [{days = ['mon']}]",
        "/policy/rules",
        "+01:00",
    ),
    "no TOML": ("[server", "", "TOML"),
    "a setting twice": ("[server]\nlisten='a:1'\nlisten='b:1'", "", "TOML"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_known_or_wrong_refuses_to_start_and_names_the_place(
    tmp_path: Path, case: str
) -> None:
    text, field, said = WRONG[case]
    file = _written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_configuration(file)
    error = caught.value
    assert error.field == field
    assert str(file) in error.message
    assert said in f"{error.message} {error.hint}"
    assert "labels" not in error.hint
    assert "--help" not in error.hint


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml cannot be read: No such file"):
        read_configuration(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_configuration(tmp_path)
    (tmp_path / "latin").write_bytes(b"# \xe9\n")
    with pytest.raises(UsageError, match="is not TOML"):
        read_configuration(tmp_path / "latin")


def test_plain_values_are_checked_like_a_file() -> None:
    assert parse_configuration({}) == Configuration()
    with pytest.raises(UsageError, match="The configuration"):
        parse_configuration([])


# The environment ----------------------------------------------------------------------------------

VARIABLES = {
    "DEPLOYMARK_DATA": "/srv/data",
    "DEPLOYMARK_KEY": "/srv/key.pem",
    "DEPLOYMARK_KEY_PASSPHRASE": "open sesame",
    "DEPLOYMARK_CONFIG": "/srv/deploymark.toml",
    "DEPLOYMARK_LISTEN": "[::]:80",
    "DEPLOYMARK_ADMIN_TOKEN": "s3cret",
}


def test_the_environment_is_read_into_values() -> None:
    assert read_environment(VARIABLES) == Environment(
        data=Path("/srv/data"),
        key="/srv/key.pem",
        passphrase="open sesame",  # noqa: S106 - nobody's
        config=Path("/srv/deploymark.toml"),
        listen="[::]:80",
        admin_token="s3cret",  # noqa: S106 - nobody's
    )


def test_what_is_absent_or_empty_is_not_set() -> None:
    assert read_environment({}) == read_environment(dict.fromkeys(VARIABLES, "")) == Environment()
    assert Environment().data == DEFAULT_DATA


def test_no_secret_is_shown() -> None:
    environment = read_environment(VARIABLES)
    for shown in (repr(environment), str(environment), f"{environment}"):
        assert "sesame" not in shown
        assert "s3cret" not in shown
        assert "/srv/data" in shown


# Who wins -----------------------------------------------------------------------------------------

LISTEN: dict[str, tuple[str | None, str | None, str | None, str]] = {
    # flag, environment, file, what counts
    "nothing": (None, None, None, "127.0.0.1:8420"),
    "the file over the default": (None, None, "file:1", "file:1"),
    "the environment over the file": (None, "environment:1", "file:1", "environment:1"),
    "the flag over the environment": ("flag:1", "environment:1", "file:1", "flag:1"),
    "the flag alone": ("flag:1", None, None, "flag:1"),
}


def started_with(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Configuration:
    """Return the configuration with which `deploymark up` would run a server."""
    started: list[Configuration] = []

    def run_server(_: Path, configuration: Configuration, **__: object) -> None:
        started.append(configuration)

    monkeypatch.setattr(serve, "run_server", run_server)
    monkeypatch.setattr(up, "log_to", lambda *_, **__: None)
    assert main(["up", *flags]) == 0
    return started[0]


@pytest.mark.parametrize("case", LISTEN)
def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    flag, environment, file, wanted = LISTEN[case]
    for name in [name for name in os.environ if name.startswith("DEPLOYMARK_")]:
        monkeypatch.delenv(name)
    if environment is not None:
        monkeypatch.setenv("DEPLOYMARK_LISTEN", environment)
    if file is not None:
        written = _written(tmp_path, f"[server]\nlisten = '{file}'\nmetrics = 'reader'\n")
        monkeypatch.setenv("DEPLOYMARK_CONFIG", str(written))
    flags = () if flag is None else ("--listen", flag)
    configuration = started_with(monkeypatch, *flags)
    assert configuration.server.listen == wanted
    assert configuration.server.metrics == ("loopback" if file is None else "reader")


def test_a_file_that_a_flag_names_wins_over_the_one_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEPLOYMARK_LISTEN", raising=False)
    monkeypatch.setenv("DEPLOYMARK_CONFIG", str(tmp_path / "absent.toml"))
    file = _written(tmp_path, "[server]\nlisten = 'file:1'\n")
    configuration = started_with(monkeypatch, "--config", str(file))
    assert configuration.server.listen == "file:1"


def _recovering(seconds: int, **more: object) -> dict[str, object]:
    plan = {"look_seconds": 60, "bucket_seconds": 15, "roll_back": {"recovery_seconds": seconds}}
    return {
        "telemetry": {"lag_seconds": 20},
        "prometheus": {"main": {"url": "http://127.0.0.1:9090", "scrape_seconds": 15}},
        "rollouts": {"shop": {"prod": {**plan, **more}}},
    }


@pytest.mark.parametrize(
    ("more", "needed", "lag"), [({}, 110, "20 s"), ({"source": "main"}, 120, "30 s")]
)
def test_a_return_has_time_to_be_shown_to_help_and_less_is_refused_with_the_numbers(
    more: dict[str, object], needed: int, lag: str
) -> None:
    parse_configuration(_recovering(needed, **more))
    with pytest.raises(UsageError) as caught:
        parse_configuration(_recovering(needed - 1, **more))
    assert caught.value.field == "/rollouts/shop/prod/roll_back/recovery_seconds"
    for said in (f"recovery_seconds = {needed - 1}", f"up to {needed} s", "a look of 60 s", lag):
        assert said in caught.value.message
    assert str(needed) in caught.value.hint
