"""Which account is asked, and where."""

from msgspec import Struct


class AwsAccess(Struct, frozen=True):
    """How AWS is reached; credentials are found as every client of AWS finds them.

    Attributes:
        region: Such as `eu-west-1`; "" takes what the environment or the profile says.
        profile: Of the AWS configuration; "" takes the default.
        endpoint_url: Of another endpoint than AWS's own; "" for that.
        timeout_seconds: How long one request may take.
    """

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""
    timeout_seconds: float = 10.0
