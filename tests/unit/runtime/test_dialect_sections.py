"""What a configuration says of dialects, refused when it is read and not when a deploy is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deploymark.crypto.webhook_signature import Profile
from deploymark.errors import UsageError
from deploymark.ports import Dialect, ForeignReply, Route, Said, Signature, Write
from deploymark.runtime import dialects
from deploymark.runtime.config import parse_configuration
from deploymark.runtime.dialects import DialectSection, mounted_dialects

WRONG: dict[str, tuple[Mapping[str, Any], str, str]] = {
    "a dialect that there is not": (
        {"grafana_anotations": {}},
        "/dialects/grafana_anotations",
        "grafana_annotations",
    ),
    "a default that is no field": (
        {"grafana_annotations": {"defaults": {"servce": "web"}}},
        "/dialects/grafana_annotations/defaults/servce",
        "service",
    ),
    "a group that is no field": (
        {"grafana_annotations": {"patterns": [{"text": "(?P<verson>.)"}]}},
        "/dialects/grafana_annotations/patterns/0/text",
        "version",
    ),
    "an expression that is none": (
        {"grafana_annotations": {"patterns": [{"tag": "(?P<version>"}]}},
        "/dialects/grafana_annotations/patterns/0/tag",
        "",
    ),
    "an expression that can take for ever": (
        {"grafana_annotations": {"tokens": {"ci": {"patterns": [{"text": "(?P<run>(a+)+)b"}]}}}},
        "/dialects/grafana_annotations/tokens/ci/patterns/0/text",
        "one repetition",
    ),
    "a pattern of nothing": (
        {"grafana_annotations": {"patterns": [{}]}},
        "/dialects/grafana_annotations/patterns/0",
        "",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_section_that_could_not_work_refuses_to_start(case: str) -> None:
    said, field, hint = WRONG[case]
    with pytest.raises(UsageError) as refused:
        parse_configuration({"dialects": said})
    assert refused.value.field == field
    assert hint in refused.value.hint


def test_a_dialect_that_is_switched_off_is_not_mounted() -> None:
    everything = {each.dialect.name for each in mounted_dialects({})}
    some = mounted_dialects({"grafana_annotations": DialectSection(enabled=False)})
    assert everything - {each.dialect.name for each in some} == {"grafana_annotations"}


def test_the_mapping_of_a_token_comes_before_that_of_all() -> None:
    section = parse_configuration(
        {
            "dialects": {
                "grafana_annotations": {
                    "defaults": {"service": "all", "environment": "prod"},
                    "patterns": [{"text": "(?P<version>a)"}],
                    "tokens": {
                        "ci": {
                            "defaults": {"service": "web"},
                            "patterns": [{"text": "(?P<version>b)"}],
                        }
                    },
                }
            }
        }
    ).dialects
    [mounted] = [m for m in mounted_dialects(section) if m.dialect.name == "grafana_annotations"]
    own = mounted.mapping_of("token:ci")
    assert own.defaults == {"service": "web", "environment": "prod"}
    assert [each.text for each in own.patterns] == ["(?P<version>b)", "(?P<version>a)"]
    assert mounted.mapping_of("token:other").defaults["service"] == "all"


# Secrets of webhooks -----------------------------------------------------------------------------

_HOOK = Dialect(
    "hook",
    "A hook",
    (
        Route(
            "POST",
            "/hooks/hook",
            "Take it.",
            Write(lambda _: Said(), lambda *_: ForeignReply()),
            (Signature(Profile.HEX, "x-signature"),),
        ),
    ),
    lambda _: ForeignReply(),
)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak only a dialect whose webhooks are signed."""
    monkeypatch.setattr(dialects, "all_dialects", lambda: [_HOOK])


def _secret_file(folder: Path, text: str, mode: int = 0o600) -> DialectSection:
    file = folder / "secret"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return DialectSection(secret_file=str(file))


@pytest.mark.usefixtures("hook")
def test_a_file_holds_one_secret_a_line_and_is_read_anew(tmp_path: Path) -> None:
    section = _secret_file(tmp_path, "an old secret of ours\n\n a new secret of ours \n")
    [mounted] = mounted_dialects({"hook": section})
    assert mounted.secrets() == ("an old secret of ours", "a new secret of ours")
    _secret_file(tmp_path, "a new secret of ours\n")
    assert mounted.secrets() == ("a new secret of ours",)
    assert mounted_dialects({})[0].secrets() == ()


@pytest.mark.usefixtures("hook")
@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("a secret of a good length", 0o644, "open to others"),
        ("short", 0o600, "5 characters"),
        (" \n", 0o600, "is empty"),
    ],
)
def test_a_secret_that_is_none_refuses_to_start(
    tmp_path: Path, text: str, mode: int, why: str
) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        mounted_dialects({"hook": _secret_file(tmp_path, text, mode)})
    assert text.strip() == "" or text not in f"{refused.value.message}{refused.value.hint}"


@pytest.mark.usefixtures("hook")
def test_a_file_that_is_not_there_refuses_to_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        mounted_dialects({"hook": DialectSection(secret_file=str(tmp_path / "absent"))})


def test_a_secret_for_clients_that_sign_nothing_refuses_to_start(tmp_path: Path) -> None:
    section = _secret_file(tmp_path, "a secret of a good length")
    with pytest.raises(UsageError, match="sign nothing"):
        mounted_dialects({"grafana_annotations": section})
