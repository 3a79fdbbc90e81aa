"""The actuator of aliases: where it points them, what it refuses, and what it cannot know."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from account import Account

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.aws_lambda.alias import AliasOptions, LambdaAlias
from deploymark.integrations.aws_lambda.functions import FunctionsOptions, LambdaFunctions
from deploymark.ports import Deed, Found, Order, Release

Acting = Callable[[], LambdaAlias]
SHIPPED = Path(__file__).parents[3] / "deploy" / "aws"


@contextmanager
def calls(*clients: Any) -> Iterator[set[str]]:  # noqa: ANN401 - boto3 has no types
    """Give the operations that clients ask AWS for until the block ends."""
    used: set[str] = set()
    for each in clients:
        each._client.meta.events.register(
            "before-call.lambda", lambda model, **_: used.add(model.name)
        )
    yield used


def allowed(name: str) -> set[str]:
    """Return the operations that a policy which we ship allows."""
    (statement,) = json.loads((SHIPPED / name).read_text())["Statement"]
    return {each.removeprefix("lambda:") for each in statement["Action"]}


class Shop:
    """The alias `prod`, which leads to the old one of two releases."""

    def __init__(self, aws: Account, description: str = "Behind the till.") -> None:
        self.aws = aws
        version, digest = aws.publish(b"old")
        self.stable = Release("d-old~1", "1", digest)
        self.old = version
        version, digest = aws.publish(b"new")
        self.canary = Release("d-new~1", "2", digest)
        self.new = version
        aws.alias("prod", self.old, description)

    def order(self, deed: Deed, weight: float = 0.0, *, fence: int = 1) -> Order:
        return self.told(deed, weight, fence, self.canary, self.stable)

    def told(
        self, deed: Deed, weight: float, fence: int, canary: Release, stable: Release | None
    ) -> Order:
        return Order(
            deed=deed,
            key=f"{canary.deployment}:{deed.value}:{weight:g}",
            service="shop",
            environment="prod",
            canary=canary,
            stable=stable,
            weight=weight,
            reason="A test wants it.",
            decision_index=42,
            fence=fence,
        )

    def leads_to(self) -> tuple[str, dict[str, float]]:
        found = self.aws.shown("prod")
        routing = found.get("RoutingConfig") or {}
        return found["FunctionVersion"], routing.get("AdditionalVersionWeights") or {}


@pytest.fixture
def shop(aws: Account) -> Shop:
    return Shop(aws)


@pytest.fixture
def acting(aws: Account) -> Iterator[Acting]:
    made: list[LambdaAlias] = []

    def make() -> LambdaAlias:
        made.append(LambdaAlias(AliasOptions(function="shop", alias="prod", **aws.access)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_an_alias_is_split_flipped_and_returned(shop: Shop, acting: Acting) -> None:
    actuator = acting()
    assert actuator.name == "lambda_alias:shop:prod"
    ways: list[tuple[Order, tuple[str, dict[str, float]]]] = [
        (shop.order(Deed.SHIFT, 5), (shop.old, {shop.new: 0.05})),
        (shop.order(Deed.SHIFT, 0.5), (shop.old, {shop.new: 0.005})),
        (shop.order(Deed.SHIFT, 0), (shop.old, {})),
        (shop.order(Deed.SHIFT, 100), (shop.new, {})),
        (shop.order(Deed.ROLL_BACK), (shop.old, {})),
        (shop.order(Deed.PROMOTE), (shop.new, {})),
    ]
    for order, leads_to in ways:
        assert actuator.look(order) is Found.NOT_DONE
        said = actuator.carry_out(order)
        assert f"leads to version {leads_to[0]}" in said
        assert shop.leads_to() == leads_to
        assert acting().look(order) is Found.DONE


def test_the_same_order_again_writes_nothing(shop: Shop, acting: Acting) -> None:
    for _ in range(2):
        acting().carry_out(shop.order(Deed.SHIFT, 5))
    assert len(shop.aws.door.written) == 1


def test_a_release_is_a_version_by_name_or_by_digest(shop: Shop, acting: Acting) -> None:
    named = Release("d-new~1", "2", "", shop.new)
    acting().carry_out(shop.told(Deed.PROMOTE, 0, 1, named, shop.stable))
    assert shop.leads_to() == (shop.new, {})
    # The same code, published again, is the same release: the newest version of it serves.
    shop.aws.publish(b"third")
    again, digest = shop.aws.publish(b"new")
    assert (again != shop.new, digest) == (True, shop.canary.digest)
    acting().carry_out(shop.order(Deed.PROMOTE))
    assert shop.leads_to() == (again, {})


@pytest.mark.parametrize(
    ("deed", "canary", "stable", "why"),
    [
        (Deed.PROMOTE, Release("d~1", "", "sha256:" + "0" * 64), None, "No published version"),
        (Deed.PROMOTE, Release("d~1", "", ""), None, "which is unknown"),
        (Deed.PROMOTE, Release("d~1", "", "", "99"), None, "no published version '99'"),
        (Deed.PROMOTE, Release("d~1", "", "", "$LATEST"), None, "no published version"),
        (Deed.PROMOTE, Release("d~1", "", "sha256:" + "0" * 64, "1"), None, "has the digest"),
        (Deed.ROLL_BACK, None, None, "no stable release"),
        (Deed.SHIFT, None, None, "no stable release"),
        (Deed.SHIFT, None, Release("d~1", "", "", "2"), "Both releases are version 2"),
    ],
)
def test_what_leads_nowhere_is_refused(
    shop: Shop,
    acting: Acting,
    deed: Deed,
    canary: Release | None,
    stable: Release | None,
    why: str,
) -> None:
    order = shop.told(deed, 5, 1, canary or shop.canary, stable)
    with pytest.raises(ActuatorRefusedError, match=why):
        acting().carry_out(order)
    assert acting().look(order) is Found.NOT_DONE
    assert shop.leads_to() == (shop.old, {})


# Fences ------------------------------------------------------------------------------------------


def test_an_older_holder_of_the_lease_is_refused(shop: Shop, acting: Acting) -> None:
    acting().carry_out(shop.order(Deed.SHIFT, 5, fence=7))
    with pytest.raises(ActuatorRefusedError, match="newer holder"):
        acting().carry_out(shop.order(Deed.PROMOTE, fence=6))
    assert shop.leads_to() == (shop.old, {shop.new: 0.05})
    # Who takes the lease over leaves its own fence, also where nothing else is to be done.
    acting().carry_out(shop.order(Deed.SHIFT, 5, fence=9))
    with pytest.raises(ActuatorRefusedError):
        acting().carry_out(shop.order(Deed.PROMOTE, fence=8))


def test_what_people_wrote_about_the_alias_stays(shop: Shop, acting: Acting) -> None:
    acting().carry_out(shop.order(Deed.SHIFT, 5, fence=7))
    acting().carry_out(shop.order(Deed.PROMOTE, fence=8))
    described = "Behind the till. [deploymark fence=8 decision=42]"
    assert shop.aws.shown("prod")["Description"] == described


@pytest.mark.parametrize("text", ["", "x" * 256])
def test_the_fence_fits_into_any_description(aws: Account, acting: Acting, text: str) -> None:
    shop = Shop(aws, text)
    acting().carry_out(shop.order(Deed.PROMOTE, fence=2**40))
    described = aws.shown("prod")["Description"]
    assert len(described) <= 256
    assert described.endswith(f"[deploymark fence={2**40} decision=42]")
    assert described.startswith(text[:200])


def test_who_writes_in_between_is_read_again(shop: Shop, acting: Acting) -> None:
    shop.aws.door.meddles = 2
    acting().carry_out(shop.order(Deed.PROMOTE))
    assert shop.leads_to() == (shop.new, {})
    revisions = [each["RevisionId"] for each in shop.aws.door.written]
    assert revisions == ["revision-0", "revision-1", "revision-2"]


def test_who_is_never_let_in_between_gives_up(shop: Shop, acting: Acting) -> None:
    shop.aws.door.meddles = 100
    with pytest.raises(ActuatorUnavailableError, match="changed by others"):
        acting().carry_out(shop.order(Deed.PROMOTE))
    assert shop.leads_to() == (shop.old, {})


# Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDeniedException", ActuatorRefusedError),
        (400, "InvalidParameterValueException", ActuatorRefusedError),
        (429, "TooManyRequestsException", ActuatorUnavailableError),
        (500, "ServiceException", OutcomeUnknownError),
        (503, "ServiceUnavailable", OutcomeUnknownError),
    ],
)
def test_what_aws_says_to_an_update_decides_what_is_known(
    shop: Shop, acting: Acting, status: int, code: str, error: type[Exception]
) -> None:
    shop.aws.door.answers = {"PUT": (status, code)}
    with pytest.raises(error):
        acting().carry_out(shop.order(Deed.PROMOTE))
    shop.aws.door.answers = {}
    acting().carry_out(shop.order(Deed.PROMOTE))
    assert shop.leads_to() == (shop.new, {})


def test_while_aws_cannot_be_read_nothing_is_done(shop: Shop, acting: Acting) -> None:
    shop.aws.door.answers = {"GET": (503, "ServiceUnavailable")}
    with pytest.raises(ActuatorUnavailableError):
        acting().carry_out(shop.order(Deed.PROMOTE))
    with pytest.raises(ActuatorUnavailableError):
        acting().look(shop.order(Deed.PROMOTE))
    shop.aws.door.answers = {"GET": (403, "AccessDeniedException")}
    with pytest.raises(ActuatorRefusedError):
        acting().carry_out(shop.order(Deed.PROMOTE))
    assert acting().look(shop.order(Deed.PROMOTE)) is Found.UNKNOWN
    assert shop.leads_to() == (shop.old, {})


def test_an_update_without_an_answer_is_looked_for(shop: Shop, acting: Acting) -> None:
    shop.aws.door.mute_next_write = True
    acting().carry_out(shop.order(Deed.PROMOTE))
    assert shop.leads_to() == (shop.new, {})


def test_an_update_without_an_answer_that_cannot_be_looked_for_is_unknown(
    shop: Shop, acting: Acting
) -> None:
    shop.aws.door.deaf_after_write = True
    with pytest.raises(OutcomeUnknownError):
        acting().carry_out(shop.order(Deed.PROMOTE))
    assert len(shop.aws.door.written) == 1


def test_nobody_there_is_unavailable(shop: Shop) -> None:
    nowhere = "http://127.0.0.1:1"
    actuator = LambdaAlias(AliasOptions(function="shop", alias="prod", endpoint_url=nowhere))
    with pytest.raises(ActuatorUnavailableError, match="not reached"):
        actuator.carry_out(shop.order(Deed.PROMOTE))
    actuator.close()


def test_without_credentials_nothing_is_asked(
    shop: Shop, acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ActuatorRefusedError, match="credentials"):
        acting().carry_out(shop.order(Deed.PROMOTE))


def test_a_target_must_be_named() -> None:
    for fields in (("", "prod"), ("shop", "")):
        with pytest.raises(UsageError):
            AliasOptions(function=fields[0], alias=fields[1])


def test_the_shipped_policies_name_every_action_that_is_used(shop: Shop, acting: Acting) -> None:
    observers = LambdaFunctions(FunctionsOptions(function="shop", **shop.aws.access))
    one = LambdaFunctions(FunctionsOptions(function="shop", alias="prod", **shop.aws.access))
    with calls(observers._functions, one._functions) as used:
        assert observers.observe()
        (seen,) = one.observe()
        assert not one.ended((seen.uid,))
    assert used == allowed("observer-policy.json")
    observers.close()
    one.close()
    actuator = acting()
    with calls(actuator._functions) as used:
        actuator.carry_out(shop.order(Deed.PROMOTE))
        actuator.look(shop.order(Deed.PROMOTE))
    assert used == allowed("actuator-policy.json")
