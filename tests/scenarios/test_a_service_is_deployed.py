"""The README's main job: a service is deployed for real, and an auditor believes nobody."""

import os
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

from team import EXAMPLE, SECONDS, Json, Team, deploy_that_waits, digest, manifest

TRIPLE = ["planned", "applying", "applied"]


def phases(markers: list[Json]) -> list[tuple[str, int, str]]:
    """Return phase and occurrence of markers, with the end of the deploy action they are of."""
    return [
        (each["marker"]["phase"], each["occurrence"], each["marker"]["action"][-3:])
        for each in markers
    ]


def an_auditor_verifies_what_runs(team: Team, markers: list[Json]) -> None:
    last = markers[-1]["index"]
    running = team.runs_in()
    assert running == team.place / "releases" / "2"

    # Every marker verifies with nothing but the policy, the public keys and its receipt.
    auditor = team.hand_to_auditor([each["index"] for each in markers])
    team.stop_server()
    trust = ("--policy", "policy", "--keys", "keys.json")
    for each in markers:
        team.offline("verify", f"{each['index']}.tlog-proof", *trust, at=auditor)

    # The digest in the marker is that of the release that the process runs in.
    assert markers[-1]["marker"]["artifact"]["digest"] == digest(running)
    artifact = ("manifest", "--as", "artifact", "--receipt", f"{last}.tlog-proof", *trust)
    (auditor / "manifest").write_bytes(manifest(running))
    assert "Verified" in team.offline("verify", *artifact, at=auditor).stdout
    directly = team.offline("verify", str(running), *artifact[1:], at=auditor)
    assert "Verified" in directly.stdout

    # A changed byte gives another digest, and the answer is no.
    shutil.copytree(running, auditor / "changed")
    page = auditor / "changed" / "page.py"
    page.write_bytes(page.read_bytes().replace(b"cents", b"Cents", 1))
    (auditor / "manifest").write_bytes(manifest(auditor / "changed"))
    refused = team.offline("verify", *artifact, at=auditor, exit_code=1)
    assert "The artifact in hand has another digest." in refused.stdout


def test_a_service_is_deployed_and_an_auditor_verifies_what_runs(team: Team) -> None:
    # 1. Two versions, one after the other.
    first = team.deploy(100, 1)
    assert team.answered() == 1
    second = team.deploy(101, 2)
    assert team.answered() == 2
    assert [first["occurrence"], second["occurrence"]] == [1, 1]

    # 2. A version that does not start: its exit code is ours, the old version runs again.
    third = team.deploy(102, 3, exit_code=1)
    assert (third["phase"], third["state"]) == ("failed", "delivered")
    assert team.answered() == 2

    # 3. CI retries the job of what is live: the same deployment, and nothing new in the log.
    retried = team.deploy(101, 2, attempt=2)
    assert retried["duplicate"]
    assert retried["deployment_id"] == second["deployment_id"]
    assert retried["index"] == second["index"]

    # 4. Somebody re-runs the old job: the first deployment happens a second time.
    again = team.deploy(100, 1, attempt=2)
    assert (again["deployment_id"], again["occurrence"]) == (first["deployment_id"], 2)
    assert team.answered() == 1

    # 5. The server is away: the deploy does not mind, and the markers come later.
    team.stop_server()
    away = team.deploy(103, 2)
    assert away["state"] == "spooled"
    assert team.answered() == 2
    team.serve()
    assert "3 delivered, 0 refused, 0 left" in team.command("flush", role="ci").stdout

    # 6. What the log says is what happened, in its order.
    last = again["index"] + 3
    markers = team.markers(after=last)
    assert phases(markers) == [
        *((phase, 1, "100") for phase in TRIPLE),
        *((phase, 1, "101") for phase in TRIPLE),
        *((phase, 1, "102") for phase in ("planned", "applying", "failed")),
        *((phase, 2, "100") for phase in TRIPLE),
        *((phase, 1, "103") for phase in TRIPLE),
    ]
    assert [each["index"] for each in markers] == list(range(2, last + 1))
    assert {each["assurance"] for each in markers} == {"signed"}
    reasons = [each["marker"]["reason"] for each in markers if "reason" in each["marker"]]
    assert reasons == ["exit code 1"]
    assert team.live(after=last) == [f"{away['deployment_id']}~1"]

    # 7. An auditor verifies it offline; 8. the log adds up.
    an_auditor_verifies_what_runs(team, markers)
    assert "everything adds up" in team.offline("log", "fsck", "--data", "data").stdout


def test_two_deploys_at_once_are_two_deployments_and_none_loses_a_marker(team: Team) -> None:
    jobs = [
        subprocess.Popen(
            team.deploy_words(version),
            cwd=team.place,
            env=team.job(200 + version, 1, version),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for version in (1, 2)
    ]
    said = [job.communicate(timeout=SECONDS)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    assert team.answered() in {1, 2}
    markers = team.markers(after=7)
    assert Counter(phases(markers)) == Counter(
        (phase, 1, run) for phase in TRIPLE for run in ("201", "202")
    )
    team.await_accounts(accepted=6, duplicates=0)


def test_a_server_killed_in_the_middle_of_a_deploy_comes_back_with_everything(team: Team) -> None:
    with deploy_that_waits(team, 300, 2) as job:
        team.await_entry(3)  # planned and applying are in the log
        team.stop_server(signal.SIGKILL)
        team.serve()
        job.go_on()
    assert job.code == 0
    markers = team.markers(after=4)
    assert phases(markers) == [(phase, 1, "300") for phase in TRIPLE]
    auditor = team.hand_to_auditor([2, 3, 4])
    team.stop_server(signal.SIGKILL)
    for index in (2, 3, 4):
        trust = ("--policy", "policy", "--keys", "keys.json")
        team.offline("verify", f"{index}.tlog-proof", *trust, at=auditor)
    assert "everything adds up" in team.offline("log", "fsck", "--data", "data").stdout


def test_the_next_call_delivers_what_a_killed_emitter_has_said(team: Team) -> None:
    team.stop_server()
    with deploy_that_waits(team, 400, 2) as job:
        job.kill()
    team.serve()
    # CI sees that the job has died, and tries again.
    assert team.deploy(400, 2, attempt=2)["index"] == 4
    assert phases(team.markers(after=4)) == [(phase, 1, "400") for phase in TRIPLE]
    team.await_accounts(accepted=3, duplicates=2)
    assert team.answered() == 2


def test_the_example_does_all_of_it(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = subprocess.run(
        [EXAMPLE / "run", kept],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DEPLOYMARK_URL": "http://ignored"},
        capture_output=True,
        encoding="utf-8",
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it held." in done.stdout
    assert "(known already)" in done.stderr
    assert "occurrence 2" in done.stderr
    ended = (kept / "service.pid").read_text().strip()
    assert not Path(f"/proc/{ended}/cwd").exists()
