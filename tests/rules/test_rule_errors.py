"""The error tree: each class can be met, told apart and looked up."""

import collections

from deploymark import errors
from generated_pages import DOCS, error_classes

_FAMILIES = (errors.RefusedError, errors.UnavailableError, errors.BrokenError)
_PAGE = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")


def test_every_error_says_what_it_means() -> None:
    assert [each.__name__ for each in error_classes() if not vars(each).get("__doc__")] == []


def test_every_error_has_a_code_of_its_own() -> None:
    assert [each.__name__ for each in error_classes() if "code" not in vars(each)] == []
    counted = collections.Counter(each.code for each in error_classes())
    assert [code for code, times in counted.items() if times > 1] == []


def test_every_error_belongs_to_one_family() -> None:
    strays = [
        each.__name__
        for each in error_classes()
        if each is not errors.DeploymarkError
        and sum(issubclass(each, family) for family in _FAMILIES) != 1
    ]
    assert strays == []


def test_every_error_is_documented_under_its_code() -> None:
    missing = [
        each.code
        for each in error_classes()
        if each is not errors.DeploymarkError and f"\n### `{each.code}`\n" not in _PAGE
    ]
    assert missing == [], "run `make docs`"


def test_every_error_class_is_named_an_error() -> None:
    assert [each.__name__ for each in error_classes() if not each.__name__.endswith("Error")] == []


def test_only_what_is_unavailable_invites_to_try_again() -> None:
    # The families promise it in words; a class that says otherwise would mislead a client.
    assert not any(
        each.retryable for each in error_classes() if not issubclass(each, errors.UnavailableError)
    )
