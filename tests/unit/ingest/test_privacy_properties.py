"""Digests, versions and references made by chance are never refused; secrets among them are."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploymark.errors import PersonalDataRefusedError, SecretRefusedError
from deploymark.ingest.privacy import PrivacyRules, check_personal, check_privacy, check_secrets

STRICT = PrivacyRules()

_word = st.from_regex(r"[a-z][a-z0-9]{0,11}", fullmatch=True)
_number = st.integers(0, 10**12).map(str)
_name = st.lists(_word, min_size=1, max_size=4).map("-".join)
_host = st.builds("{}.{}.{}".format, _name, _word, st.sampled_from(["com", "dev", "internal"]))
_digest = st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}")
_commit = st.binary(min_size=20, max_size=20).map(bytes.hex)
_base64 = st.binary(min_size=16, max_size=64).map(lambda raw: base64.b64encode(raw).decode())
_url_base64 = st.binary(min_size=16, max_size=32).map(
    lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")
)
_version = st.builds(
    "{}{}.{}.{}{}".format,
    st.sampled_from(["", "v"]),
    st.integers(0, 2100),
    st.integers(0, 99),
    st.integers(0, 99999999),
    st.builds("{}{}".format, st.sampled_from(["", "-rc.", "+", "+build."]), _number),
)
_image = st.builds("{}:{}/{}@{}".format, _host, st.integers(1, 65535), _name, _digest)
_package = st.builds("{}{}@{}".format, st.sampled_from(["", "@acme/"]), _name, _version)
_url = st.builds(
    "https://{}{}/{}/{}?{}={}".format,
    _host,
    st.sampled_from(["", ":8443"]),
    _name,
    _commit,
    st.sampled_from(["page", "buildId", "ref", "sort"]),
    _number,
)
_instant = st.datetimes().map(lambda at: at.isoformat() + "+01:00")
_ticket = st.builds("{}{}".format, st.sampled_from(["CHG", "PAY-", "INC", "#"]), _number)
_remote = st.builds("git@{}:{}/{}.git".format, _host, _name, _name)
_harmless = st.one_of(
    _digest,
    _commit,
    st.uuids().map(str),
    _base64,
    _url_base64,
    _version,
    _image,
    _package,
    _url,
    _instant,
    _ticket,
    _remote,
    _name,
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.booleans() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_harmless, min_size=1, max_size=30))
def test_digests_versions_and_references_are_never_refused(values: list[str]) -> None:
    check_privacy({"reason": " ".join(values), "labels": {"value": values[0]}}, STRICT)


@settings(max_examples=150, deadline=None)
@given(_json)
def test_any_json_value_is_answered_by_acceptance_or_one_of_two_errors(
    value: Any,  # noqa: ANN401 - any JSON value
) -> None:
    try:
        check_secrets(value)
        check_personal(value, STRICT)
    except (SecretRefusedError, PersonalDataRefusedError) as error:
        assert error.field.startswith("/") or not error.field  # noqa: PT017 - either is right


@settings(max_examples=100, deadline=None)
@given(before=_harmless, after=_harmless, tail=st.integers(0, 36**20 - 1))
def test_a_token_between_harmless_words_is_found(before: str, after: str, tail: int) -> None:
    token = "ghp" + f"_{tail:036d}"
    with pytest.raises(SecretRefusedError) as caught:
        check_privacy({"reason": f"{before} {token} {after}"}, STRICT)
    assert (caught.value.field, caught.value.message) == (
        "/reason",
        "/reason holds a GitHub token.",
    )


@settings(max_examples=100, deadline=None)
@given(before=_harmless, after=_harmless, local=_name)
def test_an_address_between_harmless_words_is_found(before: str, after: str, local: str) -> None:
    with pytest.raises(PersonalDataRefusedError) as caught:
        check_privacy({"reason": f"{before} {local}@acme.dev {after}"}, STRICT)
    assert caught.value.field == "/reason"
