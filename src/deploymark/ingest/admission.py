"""Whose word something is, and whether it may be said here at all: steps 2, 4 and 5.

What a producer's key may say depends on the index and is `authority`'s question; this asks what
the one who hands it in may say, and what nobody may.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deploymark.crypto.scope import matches_any
from deploymark.errors import UnsignedRefusedError
from deploymark.ingest.callers import Caller
from deploymark.ingest.permission import check_scope, require
from deploymark.ingest.privacy import PrivacyRules, check_privacy
from deploymark.model.reading import read_json
from deploymark.model.vocabulary import Assurance, Role


class AdmissionRules(Struct, frozen=True):
    """What is admitted, apart from keys and tokens.

    Attributes:
        anonymous_environments: Globs of environments, such as `sandbox-*`, about which anybody
            may say anything; never the basis of an action.
        signed_without_token: A producer's valid signature is enough, no token is needed.
        privacy: Which personal data policy allows.
    """

    anonymous_environments: tuple[str, ...] = ()
    signed_without_token: bool = True
    privacy: PrivacyRules = PrivacyRules()

    def check_content(
        self, payload: bytes, fields: Mapping[str, Any] | None, *, in_statement: bool
    ) -> None:
        """Refuse secrets and personal data.

        Args:
            payload: What was or will be signed.
            fields: The flat marker; None for other entries.
            in_statement: The marker stands in a Statement, so pointers begin there.

        Raises:
            SecretRefusedError, PersonalDataRefusedError: The pointer names the field.
        """
        if fields is None:
            check_privacy(read_json(payload), self.privacy)
        else:
            check_privacy(fields, self.privacy, prefix="/predicate" if in_statement else "")


def check_authority(
    rules: AdmissionRules, caller: Caller, fields: Mapping[str, Any] | None, *, signed: bool
) -> Assurance:
    """Return who stands behind an entry, as far as the caller decides it.

    Args:
        rules: What policy allows.
        caller: Who hands it in.
        fields: The flat marker; None for other entries.
        signed: A producer's signature is on it, still to be verified.

    Raises:
        ForbiddenError: The caller may not say this.
        UnsignedRefusedError: Nobody stands behind it.
    """
    if not caller.principal:
        return _without_token(rules, fields, signed=signed)
    require(caller, Role.EMITTER)
    if fields is None and not signed:
        raise UnsignedRefusedError("Only markers are signed for callers; this is another entry.")
    if fields is not None:
        check_scope(caller, fields)
    return Assurance.SIGNED if signed else Assurance.ATTRIBUTED


def _without_token(
    rules: AdmissionRules, fields: Mapping[str, Any] | None, *, signed: bool
) -> Assurance:
    if signed:
        if rules.signed_without_token:
            return Assurance.SIGNED
        raise UnsignedRefusedError(
            "A signature alone is not enough here: the request carries no token.",
            hint="Send `Authorization: Bearer <token>`.",
        )
    if fields is not None and matches_any(rules.anonymous_environments, fields["environment"]):
        return Assurance.ANONYMOUS
    raise UnsignedRefusedError("The marker is not signed and the request carries no token.")
