"""A canary is promoted and another one rolled back, by a real server that is killed in between.

Two environments, so that both rollouts go on at once: one service at a time is changed in each.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from rolling_out import HISTORY_SECONDS, Json, Service, digest_of

GOOD, BAD = "prod", "staging"


@pytest.fixture
def service(place: Path) -> Iterator[Service]:
    with Service(place, GOOD, BAD) as service:
        yield service


def begun(service: Service, environment: str, stable: str, release: str) -> str:
    """Deploy a canary beside what runs, and send traffic to both."""
    name = service.deploy(environment, release, weight=0)
    service.traffic.serve(environment, ("v1", stable), (release, name))
    return name


def each_deed_once(shown: Json) -> list[str]:
    """Return what was decided, in order; each was carried out and ended once, and no more."""
    stages = Counter((each["action"], each["stage"]) for each in shown["decisions"])
    assert set(stages.values()) == {1}, shown["decisions"]
    deeds = [each["action"] for each in shown["decisions"] if each["stage"] == "executed"]
    ended = [each for each in shown["decisions"] if each["stage"] == "outcome"]
    assert [each["outcome"] for each in ended] == ["succeeded"] * len(deeds)
    return deeds


def replayed(service: Service, shown: Json) -> None:
    """Judge the last verdict again: with the server, without it, and from what was changed."""
    index = shown["verdict"]["index"]
    said = service.command("canary", "replay", index, "--save", "evidence.json")
    assert f"Judged again, the verdict of entry {index} is the same." in said
    assert "✗" not in said
    assert "?" not in said
    service.command("receipt", index, "--out", "verdict.tlog-proof")
    nobody = ("--url", "http://127.0.0.1:1", "--receipt", "verdict.tlog-proof")
    service.command("canary", "replay", index, "--file", "evidence.json", *nobody)
    evidence = json.loads((service.place / "evidence.json").read_text())
    evidence["verdict"]["score"] = 77.7
    (service.place / "changed.json").write_text(json.dumps(evidence))
    said = service.command("canary", "replay", index, "--file", "changed.json", exit_code=1)
    assert "judged again it is" in said


def test_one_is_promoted_and_one_goes_back_though_the_server_is_killed(service: Service) -> None:
    stable = {}
    for environment in (GOOD, BAD):
        stable[environment] = service.deploy(environment, "v1")
        service.traffic.serve(environment, ("v1", stable[environment]))
        because = ("--reason", "it has always run here")
        service.command("rollback", "adopt", stable[environment], *because)
    time.sleep(HISTORY_SECONDS)  # equal replicas are compared before anything is judged by them
    service.traffic.errors["v3"] = 0.3

    # The server is killed while the first deed is being carried out.
    (service.weights / "hold").touch()
    good = begun(service, GOOD, stable[GOOD], "v2")
    bad = begun(service, BAD, stable[BAD], "v3")
    service.await_deed()
    service.kill()
    (service.weights / "hold").unlink()
    service.serve()

    promoted, returned = service.await_end(good), service.await_end(bad)
    assert (promoted["ended"], promoted["weight"]) == ("promoted", 100)
    assert each_deed_once(promoted) == ["shift", "promote"]
    assert (returned["ended"], returned["weight"]) == ("rolled_back", 0)
    assert each_deed_once({"decisions": changes(returned)}) == ["shift", "roll_back"]
    assert returned["verdict"]["advice"] == "roll_back"
    made = Counter(map(tuple, service.deeds()))
    assert sorted((environment, action) for environment, action, _ in made) == [
        (GOOD, "promote"),
        (GOOD, "shift"),
        (BAD, "roll_back"),
        (BAD, "shift"),
    ]
    assert set(made.values()) == {1}  # none was carried out twice
    assert (service.weights / GOOD).read_text() == "100\n"
    assert (service.weights / BAD).read_text() == "0\n"
    replayed(service, returned)
    replayed_as_well = service.command("canary", "replay", promoted["verdict"]["index"])
    assert "is the same" in replayed_as_well


def changes(shown: Json) -> list[Json]:
    """Return the decisions about what runs; a quarantine is not one."""
    return [each for each in shown["decisions"] if each["action"] != "quarantine"]


def test_the_how_to_is_followed_word_for_word(place: Path) -> None:
    with Service.as_documented(place) as service:
        stable = service.deploy(GOOD, "v1")
        service.traffic.serve(GOOD, ("v1", stable))
        service.follow("3. Say that what runs is good", STABLE=stable)
        service.follow("4. Deploy a canary", ARTIFACT=f"shop@{digest_of('v2')}")
        canary = service.await_canary(stable)
        service.traffic.serve(GOOD, ("v1", stable), ("v2", canary))
        service.observe(GOOD, canary, "v2")
        service.await_look(canary)
        assert "What to do:" in service.follow("5. See how it stands", CANARY=canary)
        said = service.follow("6. Stop it, and let it go on", CANARY=canary)
        assert "Done: pause" in said
        assert "Done: resume" in said
        index = service.await_look(canary)
        assert service.weight() == "5"
        assert "Done: roll back" in service.follow("7. Go back", CANARY=canary)
        assert service.weight() == "0"
        said = service.follow("8. Judge a verdict again", {"57": str(index)})
        assert said.count(f"Judged again, the verdict of entry {index} is the same.") == 2
