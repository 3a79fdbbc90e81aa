"""What is wrong in a plan is said with the place of the plan, and with what was misspelt."""

import pytest

from deploymark.errors import UsageError
from deploymark.runtime.config import parse_configuration

TARGET = "/rollouts/shop/prod/objective/target"
WRONG: dict[str, tuple[dict[str, object], str, str]] = {
    "a target in percent": ({"target": 99.9}, "more than 0 and less than 1, not 99.9.", ""),
    "a target that is no number": ({"target": float("nan")}, "less than 1, not nan.", ""),
    "a required setting misspelt": (
        {"targt": 0.999},
        "is missing; `targt` is no field.",
        "Call it `target`.",
    ),
}


@pytest.mark.parametrize(("objective", "said", "hint"), WRONG.values(), ids=WRONG)
def test_an_objective_is_refused_for(objective: dict[str, object], said: str, hint: str) -> None:
    plan = {"steps": [{"weight": 5}], "objective": objective}
    with pytest.raises(UsageError) as caught:
        parse_configuration({"rollouts": {"shop": {"prod": plan}}})
    assert caught.value.field == TARGET
    assert caught.value.message.startswith(f"The configuration: {TARGET} ")
    assert caught.value.message.endswith(said)
    assert hint in caught.value.hint
    assert "--help" not in caught.value.hint
