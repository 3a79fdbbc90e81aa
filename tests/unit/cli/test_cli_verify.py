"""`deploymark verify`: every kind of evidence, every way it can end."""

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deploymark.emit.release import release_digest

Run = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("team")

# What is verified -> how, the exit code, and what is said of it.
ENDS = {
    "a receipt with keys": ("receipt --keys keys.json", 0, "the receipt receipt holds"),
    "a receipt with the export": ("receipt --export site", 0, "the receipt receipt holds"),
    "a receipt without keys": ("receipt", 2, "Not checked: no producer keys were given"),
    "an envelope with its receipt": (
        "envelope.json --receipt receipt --keys keys.json",
        0,
        "holds",
    ),
    "an envelope, its receipt, no keys": ("envelope.json --receipt receipt", 2, "Undecided"),
    "an envelope in the export": ("envelope.json --export site", 0, "entries 4"),
    "an artifact in the export": ("app.tar --export site", 0, "entries 4, 5, 6"),
    "an artifact with a receipt": (
        "app.tar --receipt receipt --keys keys.json",
        0,
        "Verified: app.tar is what receipt names: checkout planned in prod.",
    ),
    "an artifact, a receipt, no keys": ("app.tar --receipt receipt", 2, "Undecided"),
    "an export": ("site", 0, "Verified: the export site holds."),
    "an export named by its checkpoint": ("site/checkpoint", 0, "the export site holds."),
    "another artifact": ("markers.ndjson --export site", 1, "No entry of the log names it."),
    "another artifact with a receipt": (
        "markers.ndjson --receipt receipt --keys keys.json",
        1,
        "The artifact in hand has another digest.",
    ),
    "an envelope that is nowhere": ("other.json --export site", 1, "No entry of the log names it."),
    "an envelope with another's receipt": ("other.json --receipt receipt", 1, "another payload"),
    "an envelope alone": ("envelope.json", 64, "--receipt FILE"),
    "an artifact alone": ("app.tar", 64, "proves nothing"),
    "nothing": ("nowhere", 64, "cannot be read"),
    "a receipt with no keys file": ("receipt --keys nowhere", 64, "cannot be read"),
    "a receipt with another text as keys": ("receipt --keys policy", 64, "not an export of keys"),
    "a receipt with no export": ("receipt --export data", 64, "is not an export"),
    "keys and an export": ("receipt --keys keys.json --export site", 64, "not allowed with"),
    "a receipt with a receipt": ("receipt --receipt receipt", 64, "has no use here"),
    "an export with keys": ("site --keys keys.json", 64, "has no use here"),
    "an export with an export": ("site --export site", 64, "has no use here"),
    "a text that is no receipt": ("app.tar --receipt policy", 1, "c2sp.org/tlog-proof"),
    "a receipt that is a directory": ("app.tar --receipt site", 64, "is not a file"),
    "a receipt that is not UTF-8": ("app.tar --receipt latin1", 64, "is not UTF-8"),
    "a receipt without an end": ("app.tar --receipt endless", 64, "too large"),
    "half an envelope": ("half.json --export site", 64, "half.json"),
}


@pytest.fixture(autouse=True)
def _more_evidence(team: Path) -> None:
    envelope = json.loads((team / "envelope.json").read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b"checkout", b"basket")
    envelope["payload"] = base64.b64encode(payload).decode()
    (team / "other.json").write_text(json.dumps(envelope))
    (team / "half.json").write_text('{"payloadType": "application/vnd.in-toto+json"}')
    (team / "latin1").write_bytes(b"c2sp.org/tlog-proof@v1\nindex \xe9\n")
    (team / "endless").write_bytes(b"c2sp.org/tlog-proof@v1\n" * 50_000)


@pytest.mark.parametrize(("line", "code", "said"), ENDS.values(), ids=ENDS)
def test_verify_ends_as_it_should_for(run: Run, line: str, code: int, said: str) -> None:
    verified = run(f"verify {line} --policy policy")
    assert verified.returncode == code
    assert said in verified.stdout + verified.stderr
    if code != 0:
        assert "Verified:" not in verified.stdout


@pytest.mark.parametrize(("line", "code"), [(row[0], row[1]) for row in ENDS.values()], ids=ENDS)
def test_programs_get_the_same_answer_for(run: Run, line: str, code: int) -> None:
    verified = run(f"verify {line} --policy policy --json")
    assert verified.returncode == code
    results = [json.loads(row)["result"] for row in verified.stdout.splitlines()]
    if code != 64:
        assert results[-1] == {0: "holds", 1: "fails", 2: "unchecked"}[code]
        assert ("fails" in results) == (code == 1)


POLICIES = {
    "no file": ("nowhere", 64),
    "a directory": ("site", 64),
    "another text": ("markers.ndjson", 64),
    "an empty file": ("empty", 64),
    "the policy of another log": ("other/policy", 1),
    "a quorum that is not reached": ("strict", 1),
    "a policy that is not UTF-8": ("latin1", 64),
}


@pytest.mark.parametrize(("policy", "code"), POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("evidence", ["receipt --keys keys.json", "site"])
def test_nothing_passes_under(run: Run, team: Path, evidence: str, policy: str, code: int) -> None:
    run("log init --data other")
    (team / "empty").touch()
    made = json.loads(run("log witness init w --name w.example/1 --json").stdout)
    logs = (team / "policy").read_text().replace("quorum none\n", "")
    (team / "strict").write_text(f"{logs}witness w {made['vkeys'][0]}\nquorum w\n")
    verified = run(f"verify {evidence} --policy", policy)
    assert verified.returncode == code


def test_a_policy_is_always_needed(run: Run) -> None:
    refused = run("verify receipt")
    assert refused.returncode == 64
    assert "--policy" in refused.stderr


@pytest.mark.parametrize("letter", range(0, 900, 37))
def test_a_changed_letter_of_a_receipt_never_passes(run: Run, team: Path, letter: int) -> None:
    text = (team / "receipt").read_text()
    changed = text[:letter] + ("A" if text[letter] != "A" else "B") + text[letter + 1 :]
    (team / "changed").write_text(changed)
    assert run("verify changed --policy policy --keys keys.json").returncode in {1, 64}


CHANGED_FILES = {
    "a bundle": "tile/entries/000.p/7",
    "a tile": "tile/0/000.p/7",
    "the checkpoint": "checkpoint",
}


@pytest.mark.parametrize("file", CHANGED_FILES.values(), ids=CHANGED_FILES)
@pytest.mark.parametrize("how", ["changed", "cut", "empty", "missing"])
def test_an_export_does_not_pass_with(run: Run, team: Path, file: str, how: str) -> None:
    path = team / "site" / file
    content = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    elif how != "missing":
        path.write_bytes(content[:40] if how == "cut" else b"")
    ends = 64 if (file, how) == ("checkpoint", "missing") else 1
    assert run("verify site --policy policy").returncode == ends
    assert run("log fsck site").returncode in {0, ends}  # signatures are no part of fsck
    assert run("verify receipt --policy policy --export site").returncode in {1, 64}


def test_an_export_with_a_stranger_s_file_does_not_pass(run: Run, team: Path) -> None:
    (team / "site" / "index.html").write_text("hello")
    verified = run("verify site --policy policy")
    assert verified.returncode == 1
    assert "index.html does not belong to this log." in verified.stdout


def test_entries_of_a_key_that_is_no_longer_trusted_fail(run: Run) -> None:
    ci = json.loads(run("keys ls --data data --json").stdout.splitlines()[1])["key_id"]
    run(f"keys revoke {ci} --data data --distrust-from 5")
    run("log export site --data data")
    verified = run("verify site --policy policy")
    assert verified.returncode == 1
    assert [line[:13] for line in verified.stdout.splitlines() if line.startswith("     ")] == [
        "     Entry 5:",
        "     Entry 6:",
    ]
    for index, code in ((4, 0), (5, 1)):
        run(f"log prove {index} --data data --out {index}.tlog-proof")
        assert run(f"verify {index}.tlog-proof --policy policy --export site").returncode == code


def test_keys_of_another_log_do_not_vouch(run: Run, team: Path) -> None:
    run("log init --data other --origin log.example/other")
    run("log export othersite --data other")
    logs = (team / "policy").read_text().replace("quorum none\n", "")
    (team / "both").write_text(logs + run("log policy --data other").stdout)
    refused = run("verify receipt --policy both --export othersite")
    assert refused.returncode == 64
    assert "log.example/team" in refused.stderr
    assert "log.example/other" in refused.stderr


def test_a_small_artifact_may_speak_of_payloads(run: Run, team: Path) -> None:
    (team / "bundle.js").write_text('const key = "payloadType";')
    assert run("verify bundle.js --policy policy --export site").returncode == 1


def test_evidence_cannot_steer_the_reader_s_terminal(run: Run, team: Path) -> None:
    marker = {
        "service": "a\x1b[2Jb\u202e",
        "environment": "prod",
        "phase": "applied",
        "version": "1",
    }
    (team / "one.json").write_text(json.dumps(marker))
    run("log append one.json --data data --sign ci.pem")
    run("log prove 7 --data data --out evil")
    stale = run("verify evil --policy policy --keys keys.json")
    assert stale.returncode == 2
    assert "the keys are as of 7 entries, this is a later one" in stale.stdout
    (team / "newer.json").write_text(run("keys ls --data data --export").stdout)
    verified = run("verify evil --policy policy --keys newer.json")
    assert verified.returncode == 0
    assert r"a\x1b[2Jb\u202e applied in prod" in verified.stdout
    assert "\x1b" not in verified.stdout


def test_the_policy_and_the_evidence_are_enough(
    run: Run, team: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path_factory.mktemp("far")
    shutil.copytree(team / "site", far / "site")
    shutil.copy(team / "policy", far / "policy")
    shutil.rmtree(team / "data")
    monkeypatch.chdir(far)
    assert run("verify site --policy policy").returncode == 0
    assert sorted(each.name for each in far.iterdir()) == ["policy", "site"]


# A file can be made to look like evidence ---------------------------------------------------------


def test_what_will_be_run_is_verified_as_an_artifact(run: Run, team: Path) -> None:
    receipt = (team / "receipt").read_text()
    (team / "install.sh").write_text(f"{receipt}— ;echo${{IFS}}owned;# {'A' * 12}\n")
    taken = run("verify install.sh --policy policy --export site")
    assert "the receipt" in taken.stdout.splitlines()[-1]
    refused = run("verify install.sh --as artifact --policy policy --export site")
    assert refused.returncode == 1
    assert "No entry of the log names it." in refused.stdout


def test_a_release_directory_is_verified_by_its_digest(run: Run, team: Path) -> None:
    release = team / "release"
    release.mkdir()
    (release / "app.py").write_text("print('2.31.0')\n")
    taken = run("verify release --policy policy --export site")
    assert taken.returncode == 1
    assert f"Markers name the artifact {release_digest(str(release))}" in taken.stdout
    assert run("verify release --as artifact --policy policy --export site").returncode == 1


def test_a_manifest_with_the_members_of_an_envelope_is_no_envelope(run: Run, team: Path) -> None:
    held = json.loads((team / "envelope.json").read_text())
    (team / "pod.json").write_text(json.dumps({**held, "image": "evil.example/backdoor"}))
    assert run("verify pod.json --policy policy --export site").returncode == 1
    refused = run("verify pod.json --as envelope --policy policy --export site")
    assert refused.returncode == 64
    assert "has no member 'image'" in refused.stderr


def test_a_key_given_in_place_of_its_file_is_not_shown(run: Run, team: Path) -> None:
    secret = (team / "ci.pem").read_text()
    refused = run("log append markers.ndjson --data data --sign", secret)
    assert refused.returncode == 64
    assert secret.splitlines()[1] not in refused.stderr


def test_an_export_is_read_within_limits(run: Run, team: Path) -> None:
    tile = next((team / "site" / "tile" / "0").rglob("*.p/*"))
    tile.unlink()
    os.mkfifo(tile)
    assert run("verify site --policy policy").returncode == 1
    tile.unlink()
    with tile.open("wb") as file:
        file.truncate(8 << 30)
    assert run("verify site --policy policy").returncode == 1


def test_an_export_removes_only_its_own_drafts(run: Run, team: Path) -> None:
    (team / "mixed").mkdir()
    (team / "mixed" / "letter.new").write_text("not an export's")
    run("log export mixed --data data")
    assert (team / "mixed" / "letter.new").exists()


# What was claimed ---------------------------------------------------------------------------------

CLAIMS = {
    "what the entry says": ("--service checkout --environment prod --phase planned", 0),
    "another phase": ("--phase applied", 1),
    "another service": ("--service basket", 1),
    "another environment": ("--phase planned --environment staging", 1),
}


@pytest.mark.parametrize(("flags", "code"), CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("evidence", ["receipt", "app.tar --as artifact --receipt receipt"])
def test_a_receipt_is_held_to(run: Run, evidence: str, flags: str, code: int) -> None:
    verified = run(f"verify {evidence} --policy policy --keys keys.json {flags}")
    assert verified.returncode == code
    assert ("NOT verified: receipt is of another event." in verified.stdout) == bool(code)


def test_an_export_is_searched_for_what_was_claimed(run: Run) -> None:
    line = "verify app.tar --policy policy --export site"
    assert "entries 6" in run(f"{line} --phase applied").stdout
    refused = run(f"{line} --phase failed")
    assert refused.returncode == 1
    assert "No entry that names it says phase failed." in refused.stdout
    assert run("verify site --policy policy --phase applied").returncode == 64


def test_programs_are_told_what_the_entry_says(run: Run) -> None:
    line = "verify app.tar --as artifact --receipt receipt --policy policy --keys keys.json --json"
    entry = json.loads(run(line).stdout.splitlines()[-1])["entry"]
    assert (entry["service"], entry["phase"], entry["occurrence"]) == ("checkout", "planned", 1)
    assert entry["deployment_id"].startswith("d-")
