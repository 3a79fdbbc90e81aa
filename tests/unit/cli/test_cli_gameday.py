"""`deploymark gameday` says what a server needs, and refuses a day that cannot be played."""

import tomllib
from pathlib import Path

import pytest

from deploymark.cli import main


def test_the_configuration_is_toml_with_deadlines_and_the_fleet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["gameday", "--print-config", "--services", "3", "--compression", "200"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["policy"]["deadlines"]["marker"] == 3
    assert len(printed["services"]) == 3
    for service in printed["services"].values():
        for place in service["environments"].values():
            assert sorted(place["instances"]) == place["clusters"]


REFUSED = {
    "fewer deployments than lanes": (["--deployments", "10"], "need at least 80"),
    "no services": (["--services", "0"], "--services"),
    "fewer faults than none": (["--faults", "-1"], "from 0 to"),
    "an address that is none": (["--server", "ftp://somewhere"], "ftp"),
    "a port that is none": (["--server", "http://127.0.0.1:99999"], "is not the URL of a server"),
    "an admin's token in the open": (["--server", "http://192.0.2.1"], "is not on this host"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_it_refuses(why: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, said = REFUSED[why]
    assert main(["gameday", *words]) == 64
    assert said in capsys.readouterr().err


def test_a_report_that_exists_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    report.write_text("the last one")
    assert main(["gameday", "--report", str(report)]) == 64
    assert "exists already" in capsys.readouterr().err
    assert report.read_text() == "the last one"
