"""Whether a webhook is whose it says, in three profiles; vectors are the schemes' own."""

import pytest

from deploymark.crypto.standard_webhooks import parse_secret, sign
from deploymark.crypto.webhook_signature import Profile, check_secret, verify_webhook
from deploymark.errors import SignatureError, UsageError

# docs.github.com, "Validating webhook deliveries", Testing the webhook payload validation.
_GITHUB_SECRET = "It's a Secret to Everybody"  # noqa: S105 - published
_GITHUB_BODY = b"Hello, World!"
_GITHUB = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
# github.com/standard-webhooks/standard-webhooks, spec, "Signature scheme".
_STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - published
_STANDARD_BODY = b'{"test": 2432232314}'
_STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
_SIGNED_S = 1_614_265_330


def _github(headers: dict[str, str], *secrets: str, body: bytes = _GITHUB_BODY) -> None:
    verify_webhook(Profile.HEX, "x-hub-signature-256", secrets, headers, body, 0)


def _standard(
    headers: dict[str, str], now_s: int = _SIGNED_S, body: bytes = _STANDARD_BODY
) -> None:
    secrets = (_STANDARD_SECRET,)
    verify_webhook(Profile.STANDARD, "webhook-signature", secrets, headers, body, now_s)


def test_the_example_of_github_holds() -> None:
    _github({"x-hub-signature-256": _GITHUB}, _GITHUB_SECRET)
    _github({"x-hub-signature-256": _GITHUB.upper()}, _GITHUB_SECRET)


def test_while_a_secret_is_replaced_either_holds() -> None:
    _github({"x-hub-signature-256": _GITHUB}, "the next one of them", _GITHUB_SECRET)


@pytest.mark.parametrize(
    ("shown", "secret", "body"),
    [
        (_GITHUB, "another secret of ours", _GITHUB_BODY),
        (_GITHUB, _GITHUB_SECRET, _GITHUB_BODY + b" "),
        (_GITHUB.removeprefix("sha256="), _GITHUB_SECRET, _GITHUB_BODY),
        (_GITHUB[:-1], _GITHUB_SECRET, _GITHUB_BODY),
        ("", _GITHUB_SECRET, _GITHUB_BODY),
        ("sha256=\u20ac\udcff", _GITHUB_SECRET, _GITHUB_BODY),
    ],
)
def test_another_secret_body_or_form_does_not_hold(shown: str, secret: str, body: bytes) -> None:
    with pytest.raises(SignatureError):
        _github({"x-hub-signature-256": shown}, secret, body=body)


def test_without_a_secret_nothing_holds() -> None:
    with pytest.raises(SignatureError, match="No secret"):
        _github({"x-hub-signature-256": _GITHUB})


def test_the_secret_itself_is_shown_in_the_plain_profile() -> None:
    secrets = ("a plain token of ours",)
    headers = {"x-gitlab-token": "a plain token of ours"}
    verify_webhook(Profile.PLAIN, "x-gitlab-token", secrets, headers, b"anything", 0)
    for wrong in ("a plain token of our", "", "another"):
        with pytest.raises(SignatureError):
            verify_webhook(
                Profile.PLAIN, "x-gitlab-token", secrets, {"x-gitlab-token": wrong}, b"", 0
            )


def test_an_attempt_of_standard_webhooks_holds_for_five_minutes() -> None:
    signature = sign(
        parse_secret(_STANDARD_SECRET), _STANDARD["webhook-id"], _SIGNED_S, _STANDARD_BODY
    )
    headers = _STANDARD | {"webhook-signature": f"v1,AAAA {signature}"}
    for now_s in (_SIGNED_S, _SIGNED_S + 300, _SIGNED_S - 300):
        _standard(headers, now_s)
    for now_s in (_SIGNED_S + 301, _SIGNED_S - 301):
        with pytest.raises(SignatureError):
            _standard(headers, now_s)


def test_the_example_of_standard_webhooks_holds() -> None:
    _standard(dict(_STANDARD))


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_other"},
        {"webhook-id": "a.b"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "\u0663"},
        {"webhook-signature": ""},
    ],
)
def test_another_id_time_or_signature_does_not_hold(changed: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        _standard(_STANDARD | changed)


def test_a_secret_that_is_none_for_its_profile_is_refused() -> None:
    check_secret(Profile.HEX, "sixteen letters!")
    check_secret(Profile.STANDARD, _STANDARD_SECRET)
    for profile, secret in (
        (Profile.HEX, "fifteen letters"),
        (Profile.PLAIN, ""),
        (Profile.STANDARD, "sixteen letters!"),
    ):
        with pytest.raises(UsageError) as refused:
            check_secret(profile, secret)
        assert not secret or secret not in refused.value.message
