"""Loads the client of AWS, only when somebody needs it."""

from typing import TYPE_CHECKING

from deploymark.errors import ExtraMissingError
from deploymark.integrations.aws_lambda.access import AwsAccess

if TYPE_CHECKING:
    from deploymark.integrations.aws_lambda.api import Functions


def connect(access: AwsAccess) -> "Functions":
    """Return a client; nothing is asked yet.

    Raises:
        ExtraMissingError: boto3 is not installed.
        UsageError: Region, profile or endpoint cannot be used.
    """
    try:
        from deploymark.integrations.aws_lambda.api import Functions  # noqa: PLC0415 - optional extra
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"AWS needs more packages ({error.name}).",
            hint="Install this package with its extra `aws`: pip install '.[aws]' in its folder.",
        ) from error
    return Functions(access)
