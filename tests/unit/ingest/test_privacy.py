"""What is refused as a secret or as personal data, and what must never be."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from privacy_samples import HONEST, MIXED, SECRETS

from deploymark.errors import DeploymarkError, PersonalDataRefusedError, SecretRefusedError
from deploymark.ingest.privacy import PrivacyRules, check_personal, check_privacy, check_secrets
from deploymark.model.marker import Marker

STRICT = PrivacyRules()


def refused(value: dict[str, Any]) -> DeploymarkError:
    with pytest.raises((SecretRefusedError, PersonalDataRefusedError)) as caught:
        check_privacy(value, STRICT)
    return caught.value


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_refused_with_its_field_and_kind_and_without_itself(name: str) -> None:
    secret, kind = SECRETS[name]
    error = refused({"service": "shop", "changes": [{"title": f"Use {secret}"}]})
    assert isinstance(error, SecretRefusedError)
    assert (error.field, error.message) == ("/changes/0/title", f"/changes/0/title holds {kind}.")
    for part in re.findall(r"[A-Za-z0-9]{9,}", secret):
        assert part in kind or part not in error.message + error.hint


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found_in_plain_text_and_as_the_name_of_a_label(name: str) -> None:
    secret, kind = SECRETS[name]
    with pytest.raises(SecretRefusedError, match=kind) as caught:
        check_secrets(secret)
    assert caught.value.message == f"The text holds {kind}."
    error = refused({"labels": {"team": "a", secret: "x"}})
    assert (error.field, error.message) == ("/labels", f"A name in /labels holds {kind}.")


def test_a_name_that_is_a_finding_is_starred_in_a_pointer_to_what_it_names() -> None:
    rules = PrivacyRules(allow_email=True)
    with pytest.raises(SecretRefusedError) as caught:
        check_privacy(
            {"labels": {"mona@acme.dev": "AKIA" + "Z7J2" * 4}}, rules, prefix="/predicate"
        )
    assert caught.value.field == "/predicate/labels/*"


PAIRS: dict[str, tuple[dict[str, Any], str]] = {
    "a label": ({"labels": {"password": "correcthorse"}}, "/labels/password"),
    "a label in capitals": ({"labels": {"API_TOKEN": MIXED[:20]}}, "/labels/API_TOKEN"),
    "a setting": ({"value": "correcthorse", "key": "db.password"}, "/value"),
    "a list": ({"secret": ["x", MIXED[:20]]}, "/secret/1"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_name_beside_it_gives_a_secret_away(name: str) -> None:
    fields, pointer = PAIRS[name]
    error = refused(fields)
    assert isinstance(error, SecretRefusedError)
    assert error.field == pointer


PERSONAL = {
    "an address": ("mona@acme.dev", "an e-mail address"),
    "an address in a sentence": (
        "Ask mona.lisa+ops@mail.acme.co.uk, she knows",
        "an e-mail address",
    ),
    "an address in brackets": ("Mona <mona@acme.dev>", "an e-mail address"),
    "an address after a colon": ("Reviewed-by:mona@acme.dev", "an e-mail address"),
    "an address behind a remote": ("git@github.com:a/b by mona@acme.dev", "an e-mail address"),
    "a link to an address": ("mailto:mona@acme.dev", "an e-mail address"),
    "a German number": ("Call +49 30 901820", "a phone number"),
    "an American number": ("+1 (415) 555-2671", "a phone number"),
    "a number without gaps": ("on call: +14155552671.", "a phone number"),
    "a link to a number": ("tel:+4930901820", "a phone number"),
}


@pytest.mark.parametrize("field", ["author", "deployer", "owner", "reason"])
@pytest.mark.parametrize("name", PERSONAL)
def test_an_address_or_number_of_a_person_is_refused_with_its_field(name: str, field: str) -> None:
    text, kind = PERSONAL[name]
    error = refused({field: text})
    assert isinstance(error, PersonalDataRefusedError)
    assert (error.field, error.message) == (f"/{field}", f"/{field} holds {kind}.")
    assert text not in error.hint


def test_policy_allows_addresses_numbers_or_single_fields() -> None:
    mail = {"approvers": ["octocat", "mona@acme.dev"]}
    phone = {"labels": {"pager": "+4930901820"}}
    check_privacy(mail, PrivacyRules(allow_email=True))
    check_privacy(phone, PrivacyRules(allow_phone=True))
    check_privacy(mail, PrivacyRules(allowed_fields=frozenset({"/approvers"})), prefix="/predicate")
    check_privacy(phone, PrivacyRules(allowed_fields=frozenset({"/labels/pager"})))
    with pytest.raises(PersonalDataRefusedError) as caught:
        check_privacy(mail, PrivacyRules(allow_phone=True), prefix="/predicate")
    assert caught.value.field == "/predicate/approvers/1"


def test_details_may_hold_addresses_but_no_secrets() -> None:
    text = "Ask mona@acme.dev"
    check_secrets(text)
    with pytest.raises(PersonalDataRefusedError, match="The text holds an e-mail address"):
        check_personal(text, STRICT)


def test_a_lone_surrogate_hides_nothing() -> None:
    error = refused({"title": "\ud800", "reason": "AKIA" + "Z7J2" * 4})
    assert error.field == "/reason"


@pytest.mark.parametrize("text", HONEST)
def test_an_honest_text_passes(text: str) -> None:
    for field in ("reason", "author", "version"):
        check_privacy({"service": "shop", field: text, "changes": [{"title": text}]}, STRICT)
    check_privacy({"labels": {"note": text}}, STRICT)


def test_the_list_of_honest_texts_is_long() -> None:
    assert len(set(HONEST)) >= 150


HONEST_FIELDS: dict[str, dict[str, Any]] = {
    "a secret of another version": {
        "kind": "secret_version",
        "key": "db-password",
        "revision": "7",
    },
    "a secret by a UUID": {
        "key": "db-password",
        "revision": "018f3c1e-7a8b-7c1d-9e2f-0a1b2c3d4e5f",
    },
    "a flag about passwords": {"flags": [{"key": "forgot-password", "variant": "treatment-b"}]},
    "a label naming a stored secret": {"labels": {"secret": "payments/db-v2"}},
    "a label with a reference": {"labels": {"token": "op://vault/item/field1"}},
    "a switch": {"labels": {"require-password": "true"}},
    "a node of Erlang": {"target": {"instance": "shop@node1.acme.dev"}},
    "a login of a machine": {"emitter": {"id": "deploy@build.acme.dev"}},
    "numbers and nothing": {"a": 1, "b": None, "c": [True, 2.5], "password": 12345},
}


@pytest.mark.parametrize("name", HONEST_FIELDS)
def test_an_honest_field_passes(name: str) -> None:
    check_privacy(HONEST_FIELDS[name], STRICT)


def test_the_commit_messages_of_this_repository_hold_no_secrets() -> None:
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    log = subprocess.run(
        ["git", "-C", str(root), "log", "-n", "500", "--format=%s%n%b"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    check_secrets(log.stdout.splitlines())


def _planted(  # noqa: C901, PLR0912 - one case per kind of type
    kind: msgspec.inspect.Type, secret: str
) -> Iterator[tuple[str, Any]]:
    """Yield (pointer, value) for every place of a type in which text may stand."""
    match kind:
        case msgspec.inspect.UnionType():
            for inner in kind.types:
                yield from _planted(inner, secret)
        case msgspec.inspect.Metadata():
            yield from _planted(kind.type, secret)
        case msgspec.inspect.StrType():
            yield "", secret
        case msgspec.inspect.StructType():
            for field in kind.fields:
                for pointer, value in _planted(field.type, secret):
                    yield f"/{field.encode_name}{pointer}", {field.encode_name: value}
        case msgspec.inspect.DictType():
            for pointer, value in _planted(kind.value_type, secret):
                yield f"/k{pointer}", {"k": value}
            yield "", {secret: "x"}
        case msgspec.inspect.VarTupleType():
            for pointer, value in _planted(kind.item_type, secret):
                yield f"/1{pointer}", ["x", value]
        case _:
            return


@pytest.mark.parametrize("name", ["an AWS key", "a GitHub token ghp", "a JSON Web Token"])
def test_a_secret_is_found_in_every_field_of_a_marker(name: str) -> None:
    secret, _ = SECRETS[name]
    places = list(_planted(msgspec.inspect.type_info(Marker), secret))
    assert {"/service", "/target/node", "/approvers/1", "/labels", "/changes/1/title"} <= {
        pointer for pointer, _ in places
    }
    for pointer, fields in places:
        assert refused(fields).field == pointer


HOSTILE = (
    "a",
    "a.",
    "a@",
    "@a.",
    "+1 ",
    "--a-",
    "://",
    "://a:b",
    "eyJ",
    "eyJaaaaaaaaaa.",
    "sk-",
    "-",
    "token ",
    "token='",
    "secret:arn:",
    "basic ",
    "-----BEGIN ",
    "-eyJ",
    "-eyJaaaaaaaa.",
    "-SG.",
    "AKIA-",
    "--token  ",
    "+49 (1)",
    " authorization:",
    "(",
    "password: a_",
    "SG.a",
    "a1",
    "1",
    "=",
    '"',
    "\\",
    "A",
    "/",
    "M",
    "=a",
)


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_hostile_text_comes_to_an_end(unit: str) -> None:
    text = unit * (262_144 // len(unit)) + " @ +1 2 token ghp_ ://@"
    with contextlib.suppress(SecretRefusedError, PersonalDataRefusedError):
        check_privacy({"reason": text}, STRICT)
