"""People who approve with an identity token are known by their names in the configuration."""

import pytest

from deploymark.errors import UsageError
from deploymark.integrations.oidc.rules import principal_of
from deploymark.judge.policy import ApproverRule, PolicyFacts
from deploymark.judge.ruling import Known, rule_on
from deploymark.runtime.config import Configuration, parse_configuration

_OIDC = {"sso": {"issuer": "https://sso.example", "audience": "x", "subjects": ["*|a*"]}}
_ODD = "corp|ann ames%" + "\u00e9" * 60


def _configured(*subjects: str) -> Configuration:
    return parse_configuration(
        {
            "oidc": {**_OIDC, "sso": {**_OIDC["sso"], "roles": ["operator"]}},
            "auth": {
                "identities": {
                    "ann": {"git_names": ["Ann Ames"], "subjects": list(subjects)},
                    "bob": {"subjects": ["oidc:sso:corp|bob"]},
                }
            },
        }
    )


def _answer(configuration: Configuration, approver: str) -> str:
    facts = PolicyFacts(author="Ann Ames", approvers=(approver,))
    known = Known(configuration.auth.identities)
    return rule_on([ApproverRule(name="four eyes")], facts, known)[0].answer


@pytest.mark.parametrize("subject", ["ann", "corp|ann", _ODD])
def test_an_author_who_approves_with_an_identity_token_is_still_the_author(subject: str) -> None:
    configuration = _configured(f"oidc:sso:{subject}")
    assert _answer(configuration, principal_of("sso", subject)) == "fail"
    assert _answer(configuration, principal_of("sso", "corp|bob")) == "pass"


def test_it_may_be_written_as_an_entry_shows_it() -> None:
    shown = principal_of("sso", _ODD)
    ann = _configured(shown).auth.identities["ann"]
    assert shown in ann.subjects


def test_the_same_subject_by_another_rule_is_somebody_else() -> None:
    ann = _configured("oidc:sso:corp|ann").auth.identities["ann"]
    assert principal_of("other", "corp|ann") not in ann.subjects
    assert "corp|ann" not in ann.subjects


@pytest.mark.parametrize("subject", ["oidc:ssso:ann", "oidc:sso:", "oidc:ann"])
def test_a_subject_of_a_rule_that_there_is_not_is_refused(subject: str) -> None:
    with pytest.raises(UsageError, match="names no rule") as caught:
        _configured(subject)
    assert caught.value.field == "/auth/identities/ann/subjects/0"
    assert "oidc:sso:SUB" in caught.value.hint


def _approvers(*approvers: str, **identities: object) -> tuple[str, ...]:
    plan = {"approvers": list(approvers)}
    configuration = parse_configuration(
        {
            "oidc": {"sso": {**_OIDC["sso"], "roles": ["operator"]}},
            "auth": {"identities": identities},
            "rollouts": {"web": {"prod": plan}},
        }
    )
    return configuration.plans["web", "prod"].approvers


def test_approvers_of_a_plan_are_principals() -> None:
    assert _approvers("token:ann", "token:ann") == ("token:ann",)
    assert _approvers(f"oidc:sso:{_ODD}")[1:] == (principal_of("sso", _ODD),)
    subjects = ["token:ann", "oidc:sso:corp|ann"]
    named = _approvers("ann", ann={"subjects": subjects, "git_names": ["Ann Ames"]})
    assert set(named) == {*subjects, principal_of("sso", "corp|ann")}


def test_a_list_of_approvers_that_nobody_meets_still_asks_for_somebody() -> None:
    assert _approvers("ann", ann={"git_names": ["Ann Ames"]}) == ("ann",)
    assert _approvers() == ()


@pytest.mark.parametrize("approver", ["oidc:ssso:ann", "oidc:sso:", "oidc:ann"])
def test_an_approver_of_a_rule_that_there_is_not_is_refused(approver: str) -> None:
    with pytest.raises(UsageError, match="names no rule") as caught:
        _approvers("token:ann", approver)
    assert caught.value.field == "/rollouts/web/prod/approvers/1"
