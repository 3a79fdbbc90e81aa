"""The export on a plain web server, verified tile by tile by a reader of the standards alone.

Nothing here comes from `src`: the reader is the conformance tests' own, written from RFC 6962 and
the C2SP texts.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from reference_notes import Key, checkpoint_of, receipt_shows, verified
from reference_tree import ReferenceTree, bundle_of, leaf_hash, path_of, tile_of, tiles_of

Run = Callable[..., CompletedProcess[str]]
ENTRIES = 602  # three bundles and a second level


@pytest.fixture
def site(sh: Run, log: Path, place: Path) -> Iterator[str]:
    """The URL of a web server that knows nothing of logs, with an export of 602 entries."""
    assert log.is_dir()
    lines = [
        json.dumps(
            {"service": f"s{number}", "environment": "prod", "phase": "applied", "version": "1"}
        )
        for number in range(ENTRIES - 5)
    ]
    (place / "many.ndjson").write_text("\n".join(lines))
    sh("deploymark log append many.ndjson --sign ci.pem; deploymark log export site")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", "site"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    assert server.stdout is not None
    try:
        found = re.search(r"http://127.0.0.1:\d+/", server.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


def log_keys(policy: str) -> list[Key]:
    """Return the log keys of a policy file, read by the words of signed-note alone."""
    keys = []
    for words in map(str.split, policy.splitlines()):
        if words[0] == "log":
            name, _, encoded = words[1].split("+", 2)
            material = base64.b64decode(encoded, validate=True)
            keys.append(Key(name, material[0], material[1:]))
            assert keys[-1].vkey == words[1]
    return keys


def fetch(site: str, path: str) -> bytes:
    """Return a file of the site."""
    with urlopen(site + path) as answer:  # noqa: S310 - the loopback server above
        content: bytes = answer.read()
    return content


def unbundled(bundle: bytes) -> list[bytes]:
    """Cut a bundle by its uint16 lengths."""
    entries, position = [], 0
    while position < len(bundle):
        length = int.from_bytes(bundle[position : position + 2], "big")
        entries.append(bundle[position + 2 : position + 2 + length])
        position += 2 + length
    return entries


def test_everything_that_is_served_is_what_the_standards_say(
    sh: Run, site: str, place: Path
) -> None:
    keys = log_keys((place / "policy").read_text())
    text, signed = verified(fetch(site, "checkpoint"), keys)
    origin, size, root = checkpoint_of(text)
    assert (origin, size) == ("log.example/team", ENTRIES)
    assert set(signed) == set(keys)

    entries: list[bytes] = []
    for level, index, width in tiles_of(size):
        if level == 0:
            bundle = fetch(site, path_of("entries", index, width))
            entries += unbundled(bundle)
            assert bundle_of(entries[-width:]) == bundle
    assert len(entries) == size

    tree = ReferenceTree([leaf_hash(entry) for entry in entries])
    assert tree.root(size) == root
    for level, index, width in tiles_of(size):
        served = fetch(site, path_of(level, index, width))
        assert served == b"".join(tile_of(tree, level, index, width))

    for index in (0, 255, 256, size - 1):
        sh(f"deploymark log prove {index} --out {index}.tlog-proof")
        receipt = (place / f"{index}.tlog-proof").read_bytes()
        assert receipt_shows(receipt, leaf_hash(entries[index]), keys)
        assert not receipt_shows(receipt, leaf_hash(entries[index - 1]), keys)


def test_what_does_not_exist_is_not_served(site: str) -> None:
    for path in (path_of(0, 3), path_of(2, 0, 1), path_of("entries", 2, 91)):
        with pytest.raises(HTTPError, match="404"):
            fetch(site, path)
