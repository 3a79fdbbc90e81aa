"""The signed form of a marker: an in-toto Statement v1 whose subject is the artifact.

`statement_of` makes the bytes to sign, `subject_faults` holds a received Statement against its
own predicate (spec: marker, "Signed form"). Standard library only, because the emitter signs;
decoding is `marker`'s task, signing `crypto`'s.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploymark.errors import EnvelopeError
from deploymark.model.canonical import encode
from deploymark.model.vocabulary import IN_TOTO, MARKER, PREDICATE_TYPE, STATEMENT_TYPE

_SHA256 = "sha256"
_GIT_COMMIT = "gitCommit"
_PREFIX = "sha256:"
# A short hash names a commit but is no digest of it; in-toto wants the whole one.
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def subject_digests(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the in-toto digest set of a flat marker, or {} when it names no artifact.

    Returns:
        `{"sha256": hex}` of the artifact; else `{"gitCommit": hex}` when only a whole commit hash
        (40 or 64 digits) is known; else nothing.
    """
    digest = (fields.get("artifact") or {}).get("digest")
    if isinstance(digest, str) and digest.startswith(_PREFIX):
        return {_SHA256: digest.removeprefix(_PREFIX)}
    commit = fields.get("commit_hash")
    if isinstance(commit, str) and _WHOLE_COMMIT.fullmatch(commit):
        return {_GIT_COMMIT: commit}
    return {}


def payload_type_of(fields: Mapping[str, Any]) -> str:
    """Return the DSSE payload type under which a flat marker is signed."""
    return IN_TOTO if subject_digests(fields) else MARKER


def statement_of(fields: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a flat marker as in-toto Statement, ready to be signed.

    Args:
        fields: A flat marker with an artifact digest or a whole commit hash; null fields stay.

    Raises:
        EnvelopeError: It names neither; sign the flat marker then (`payload_type_of`).
        CanonicalError: It has no canonical form.
    """
    return encode(statement_fields(fields))


def statement_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flat marker as in-toto Statement, as a plain value; raises as `statement_of`."""
    digests = subject_digests(fields)
    if not digests:
        raise EnvelopeError(
            "The marker names neither an artifact digest nor a whole commit hash.",
            hint=f"Sign the flat marker as {MARKER}.",
        )
    subject: dict[str, Any] = {"digest": digests}
    if name := (fields.get("artifact") or {}).get("name"):
        subject["name"] = name
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(fields),
    }


def subject_faults(statement: Mapping[str, Any]) -> Iterator[EnvelopeError]:
    """Yield where the subject of a Statement does not repeat what its predicate says.

    Args:
        statement: A plain Statement; parts of a wrong type are left to the type check.
    """
    subjects, predicate = statement.get("subject"), statement.get("predicate")
    if not (isinstance(subjects, list) and len(subjects) == 1 and isinstance(subjects[0], dict)):
        return
    digests = subjects[0].get("digest")
    artifact = predicate.get("artifact") if isinstance(predicate, dict) else None
    if not (isinstance(digests, dict) and isinstance(predicate, dict)):
        return
    claimed = artifact.get("digest") if isinstance(artifact, dict) else None
    stated = {
        _SHA256: str(claimed).removeprefix(_PREFIX) if claimed is not None else None,
        _GIT_COMMIT: predicate.get("commit_hash"),
    }
    place = "/subject/0/digest"
    if not digests.keys() & stated.keys():
        yield EnvelopeError(f"{place} names neither sha256 nor gitCommit.", field=place)
    for name, own in stated.items():
        repeated = digests.get(name)
        if repeated is not None and repeated != own:
            yield EnvelopeError(
                f"{place}/{name} does not agree with the predicate.",
                hint="The subject repeats the artifact digest (or commit) of the predicate.",
                field=f"{place}/{name}",
            )
    if claimed is not None and _SHA256 not in digests:
        yield EnvelopeError(
            f"{place}/sha256 is missing; the predicate names an artifact digest.",
            hint="The subject repeats the digest of the predicate.",
            field=f"{place}/sha256",
        )
