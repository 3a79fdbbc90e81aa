"""One spelling for repositories, commits and refs, whoever names them: a CI system or git.

Pure and without errors: what cannot stand in a marker becomes "". `ci` and `git` use it.
"""

import re

VALUE_BYTES = 256
"""The most bytes of a short field of a marker (model.limits)."""

TEXT_BYTES = 2_048
"""The most bytes of a URL in a marker (model.limits)."""

_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
# Patterns as text: `re` compiles each when it is first used, and many a command uses none.
WEB_ADDRESS = (
    rf"(?P<scheme>[a-z][a-z+]*)://(?:[^/?#]*@)?(?P<host>{_HOST})(?P<port>:[0-9]{{1,5}})?"
    r"(?P<path>/[^?#]*)?(?P<rest>[?#].*)?"
)
"""Pattern of a URL; what stands before an @ is in no group, so that it cannot be passed on."""

_SCP = rf"[^@/:]+@(?P<host>{_HOST}):(?P<path>[^:].*)"
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"


def version_of(ref: str) -> str:
    """Return the tag that a ref names, exactly as it is written, or ""."""
    return ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else ""


def repository_url(text: str) -> str:
    """Return one spelling of a git remote: no credentials, no `.git`, https for ssh; or "".

    A clone by SSH and one by HTTPS name the same repository, so `git@host:path` and
    `ssh://git@host/path` become `https://host/path`. A path on this machine names no repository.
    """
    text = clean(text, TEXT_BYTES)
    if any(character.isspace() for character in text):
        return ""
    if found := re.fullmatch(WEB_ADDRESS, text):
        scheme, port = found["scheme"], found["port"] or ""
        if scheme in {"ssh", "git", "git+ssh"}:
            scheme, port = "https", ""
    elif found := re.fullmatch(_SCP, text):
        scheme, port = "https", ""
    else:
        return ""
    path = (found["path"] or "").strip("/").removesuffix(".git")
    if scheme not in {"http", "https"} or not path:
        return ""
    return f"{scheme}://{found['host'].lower()}{port}/{path}"


def commit_of(text: str) -> str:
    """Return a whole commit hash in lower case, or "" (`HEAD`, a short hash, a changeset)."""
    text = text.strip().lower()
    return text if re.fullmatch(_COMMIT, text) else ""


def ref_of(kind: str, name: str) -> str:
    """Return `refs/<kind>/<name>` if it fits a marker's field, or ""."""
    name = clean(name, VALUE_BYTES)
    return clean(f"refs/{kind}/{name}", VALUE_BYTES) if name else ""


def clean(text: str, limit_bytes: int) -> str:
    """Return a value without surrounding blanks if it can stand in a marker, or "".

    Args:
        text: As the environment gave it; undecodable bytes arrive as lone surrogates.
        limit_bytes: The most bytes of UTF-8 that the field takes.
    """
    text = text.strip()
    # isprintable is false for control characters, line separators and lone surrogates.
    return text if text.isprintable() and len(text.encode()) <= limit_bytes else ""
