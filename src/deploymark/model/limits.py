r"""Sizes and grammars of the fields on the wire, stated once for decoder and JSON Schema.

Lengths count bytes of UTF-8. The types below count characters, which is all that a schema can
say; `reading` counts the bytes where text is not ASCII. Patterns end in `$(?!\n)`, because `$`
alone also matches before a final newline in some languages.
"""

from typing import Annotated

from msgspec import Meta

from deploymark.model.canonical import SAFE_INTEGER

PAYLOAD_BYTES = 32_768
LEAF_BYTES = 65_535
ENVELOPE_BYTES = LEAF_BYTES
LABELS = 16
ITEMS = 64
CHANGES = 256  # more than a hundred is a finding (large_change_set), not a refusal
KEY_BYTES = 64
VALUE_BYTES = 256
TEXT_BYTES = 2_048
DEPTH = 32

_ID = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

Name = Annotated[str, Meta(min_length=1, max_length=VALUE_BYTES)]
"""Identifies something: never empty, at most 256 bytes."""

Value = Annotated[str, Meta(max_length=VALUE_BYTES)]
"""Describes something in at most 256 bytes."""

Text = Annotated[str, Meta(max_length=TEXT_BYTES)]
"""A sentence or URL in at most 2,048 bytes."""

Key = Annotated[str, Meta(min_length=1, max_length=KEY_BYTES)]
"""The name in a free map such as `labels`: 1 to 64 bytes."""

Digest = Annotated[
    str,
    Meta(
        pattern="^sha256:[0-9a-f]{64}$(?!\\n)",
        description="`sha256:` and 64 lower-case hexadecimal digits",
    ),
]
"""A content digest."""

Commit = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{7,64}$(?!\\n)",
        description="a commit hash of 7 to 64 lower-case hexadecimal digits",
    ),
]
"""A commit; only 40 or 64 digits make an in-toto subject."""

GivenId = Annotated[
    str,
    Meta(
        pattern=f"^{_ID}$(?!\\n)",
        description="an id: letters, digits, `-`, `_` and `.`, at most 63 characters",
    ),
]
"""An id that the caller chose (spec: identity, "Encoding")."""

DeploymentName = Annotated[
    str,
    Meta(
        pattern=f"^{_ID}(~[1-9][0-9]{{0,8}})?$(?!\\n)",
        description="a deployment id, or one occurrence of it as `id~2`",
    ),
]
"""Names another deployment."""

KeyId = Annotated[
    str,
    Meta(
        pattern="^k-[0-9a-hjkmnp-tv-z]{26}$(?!\\n)",
        description="a key id: `k-` and 26 characters",
    ),
]
"""The id of a public key."""

Instant = Annotated[
    str,
    Meta(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
        "(\\.[0-9]{1,12})?([Zz]|[+-][0-9]{2}:[0-9]{2})$(?!\\n)",
        description="a timestamp of RFC 3339, such as 2026-11-23T00:00:00.000Z",
        extra_json_schema={"format": "date-time"},
        extra={"form": "instant"},
    ),
]
"""A point in time."""

PublicKey = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$(?!\\n)",
        description="the 32 raw bytes of an Ed25519 public key in standard base64",
    ),
]
"""A public key; the last letter set keeps base64 to one spelling."""

Count = Annotated[int, Meta(ge=0, le=SAFE_INTEGER)]
"""A number of things, or an index of the log."""

Positive = Annotated[int, Meta(ge=1, le=SAFE_INTEGER)]
"""Counted from one."""

Percent = Annotated[int, Meta(ge=0, le=100)] | Annotated[float, Meta(ge=0, le=100)]
"""A share of traffic in percent."""

Names = Annotated[tuple[Name, ...], Meta(max_length=ITEMS)]
"""At most 64 names."""

Labels = Annotated[dict[Key, Value], Meta(max_length=LABELS)]
"""At most 16 free pairs."""
