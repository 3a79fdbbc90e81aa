"""Which account is asked, and where."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=3_600)]


class AwsAccess(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How AWS is reached; credentials are found as every client of AWS finds them.

    Attributes:
        region: Such as `eu-west-1`; "" takes what the environment or the profile says.
        profile: Of the AWS configuration; "" takes the default.
        endpoint_url: Of another endpoint than AWS's own; "" for that.
        request_seconds: How long one request may take.
    """

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""
    request_seconds: Seconds = 10.0
