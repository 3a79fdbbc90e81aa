"""The observer of functions: what an alias leads to, on moto."""

import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256

import boto3
import pytest
from account import Account
from botocore.exceptions import ProxyConnectionError

from deploymark.errors import ExtraMissingError, ObservationError, UsageError
from deploymark.integrations.aws_lambda.digests import code_digest
from deploymark.integrations.aws_lambda.functions import FunctionsOptions, LambdaFunctions
from deploymark.testing.observer import exercise_observer

Observing = Callable[..., LambdaFunctions]
DIGEST = sha256(b"code").digest()


@pytest.fixture
def observing(aws: Account) -> Iterator[Observing]:
    made: list[LambdaFunctions] = []

    def make(alias: str = "") -> LambdaFunctions:
        made.append(LambdaFunctions(FunctionsOptions(function="shop", alias=alias, **aws.access)))
        return made[-1]

    yield make
    for each in made:
        each.close()


class AliasWorld:
    """A function whose aliases are the instances; an artifact is a version's code."""

    def __init__(self, aws: Account, observer: LambdaFunctions) -> None:
        self.aws, self.observer = aws, observer
        self.started = 0

    def start(self, artifact: bytes) -> str:
        self.started += 1
        name = f"alias-{self.started}"
        self.aws.alias(name, self.aws.publish(artifact)[0])
        return name

    def stop(self, instance: str) -> None:
        self.aws.client.delete_alias(FunctionName="shop", Name=instance)


def test_it_observes_as_every_observer_must(aws: Account, observing: Observing) -> None:
    exercise_observer(lambda: AliasWorld(aws, observing()))


def test_it_tells_both_versions_of_a_split_alias_with_their_shares(
    aws: Account, observing: Observing
) -> None:
    old, new = aws.publish(b"old"), aws.publish(b"new")
    aws.alias("prod", old[0])
    aws.alias("other", new[0])
    aws.point("prod", old[0], {new[0]: 0.25})
    observer = observing("prod")
    assert observer.name == "lambda:shop:prod"
    assert [(each.version, each.weight, each.digest) for each in observer.routed()] == [
        (old[0], 75.0, old[1]),
        (new[0], 25.0, new[1]),
    ]
    first, second = observer.observe()
    assert (first.digest, second.digest) == (old[1], new[1])
    assert first.uid == f"{aws.shown('prod')['AliasArn']}/{old[0]}/revision-1"
    assert first.instance == f"lambda/shop:prod/{old[0]}"
    assert not observer.ended((first.uid,))
    aws.point("prod", new[0])
    (third,) = observer.observe()
    assert third.digest == second.digest
    assert observer.ended((first.uid,))
    assert observer.ended((second.uid,))
    assert not observer.ended((third.uid,))
    # What another alias leads to is not this observer's to end.
    assert not observer.ended((f"{aws.shown('other')['AliasArn']}/{old[0]}/revision-0",))


def test_a_version_to_which_the_alias_returns_is_another_instance(
    aws: Account, observing: Observing
) -> None:
    old, new = aws.publish(b"old")[0], aws.publish(b"new")[0]
    aws.alias("prod", old)
    observer = observing("prod")
    uids = set()
    for version in (old, new, old):
        aws.point("prod", version)
        uids |= {each.uid for each in observer.observe()}
    assert len(uids) == 3


def test_nobody_is_asked_about_instances_of_other_functions(
    aws: Account, observing: Observing
) -> None:
    version, _ = aws.publish(b"old")
    aws.alias("prod", version)
    observer = observing("prod")
    (seen,) = observer.observe()
    asked: list[str] = []
    events = observer._functions._client.meta.events
    events.register("before-call.lambda", lambda model, **_: asked.append(model.name))
    others = [seen.uid.replace(":shop:", ":till:"), "0b0c:7:1", "a-pod/a-container"]
    assert observer.ended(others) == frozenset()
    assert asked == []
    gone = seen.uid.replace("revision-0", "revision-7")
    assert observer.ended([*others, gone]) == {gone}
    assert asked


def test_what_may_change_at_any_moment_has_no_digest(aws: Account, observing: Observing) -> None:
    aws.alias("prod", "$LATEST")
    (seen,) = observing("prod").observe()
    assert seen.digest == ""
    assert "$LATEST" in seen.why


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (b64encode(DIGEST).decode(), f"sha256:{DIGEST.hex()}"),
        (DIGEST.hex(), f"sha256:{DIGEST.hex()}"),
        (b64encode(DIGEST[:20]).decode(), ""),
        ("not base64!", ""),
        ("", ""),
    ],
)
def test_a_digest_is_read_from_base64_or_hexadecimal(told: str, found: str) -> None:
    digest, why = code_digest("7", told)
    assert (digest, bool(why)) == (found, not found)


@pytest.mark.parametrize("trouble", [(403, "AccessDeniedException"), (500, "ServiceException")])
def test_what_cannot_be_seen_is_said_and_ends_nobody(
    aws: Account, observing: Observing, trouble: tuple[int, str]
) -> None:
    version, _ = aws.publish(b"old")
    aws.alias("prod", version)
    observer = observing("prod")
    (seen,) = observer.observe()
    gone = seen.uid.replace(f"/{version}/", "/99/")
    assert observer.ended((gone,))
    aws.door.answers = {"GET": trouble}
    with pytest.raises(ObservationError, match="AWS"):
        observer.observe()
    assert not observer.ended((gone,))


def test_an_alias_that_is_not_there_is_said(observing: Observing) -> None:
    with pytest.raises(ObservationError, match="nowhere"):
        observing("nowhere").observe()


@pytest.mark.usefixtures("aws")
def test_no_test_of_this_folder_reaches_aws() -> None:
    client = boto3.client("lambda")
    with pytest.raises(ProxyConnectionError):
        client.list_functions()
    client.close()


def test_a_function_must_be_named_and_an_endpoint_be_one() -> None:
    with pytest.raises(UsageError, match="which function"):
        FunctionsOptions(function="")
    with pytest.raises(UsageError, match="cannot be reached"):
        LambdaFunctions(FunctionsOptions(function="shop", endpoint_url="no address"))
    with pytest.raises(UsageError, match="nobody"):
        LambdaFunctions(FunctionsOptions(function="shop", profile="nobody"))


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "deploymark.integrations.aws_lambda.api", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ExtraMissingError) as caught:
        LambdaFunctions(FunctionsOptions(function="shop"))
    assert "pip install '.[aws]'" in caught.value.hint
