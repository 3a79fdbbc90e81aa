"""What names of images and image ids say. Pure.

Only the digest of a *repository* can be compared: of the manifest that was pulled, the same on
every node. What a node calls an image by itself is the digest of its configuration, another text
for the same image, and is never taken for one.
"""

import re
from typing import Final

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEMES: Final = ("docker-pullable://", "docker://", "containerd://", "cri-o://")


def digest_of(image: str) -> str:
    """Return the digest that a reference pins, `sha256:…`; "" when it names a tag alone."""
    _, at, digest = image.rpartition("@")
    return digest if at and _DIGEST.fullmatch(digest) else ""


def repository_of(image: str) -> str:
    """Return a reference without its tag and its digest: `registry:5000/shop:1@sha256:…`."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def pinned(image: str, digest: str) -> str:
    """Return the same repository at a digest."""
    return f"{repository_of(image)}@{digest}"


def running_digest(image_id: str) -> tuple[str, str]:
    """Return what an `imageID` of a pod's status says.

    Args:
        image_id: `repo@sha256:…`, with or without `docker-pullable://`, or `sha256:…` alone.

    Returns:
        The digest and "", or "" and a sentence that says why there is none.
    """
    reference = image_id
    for scheme in _SCHEMES:
        reference = reference.removeprefix(scheme)
    if digest := digest_of(reference):
        return digest, ""
    if _DIGEST.fullmatch(reference):
        return "", "The node knows the image by a local id only: it was not pulled by a digest."
    return "", f"The node's image id {image_id!r} names no digest."
