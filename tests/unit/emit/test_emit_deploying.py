"""Around a deploy: planned and applying, then how it ended."""

from contextlib import closing
from pathlib import Path

import pytest
from emit_samples import NOBODY, SampleHost, fields, settings

from deploymark.emit.deploying import Deploying
from deploymark.emit.emitter import Emitter, State
from deploymark.testing.receiving_server import ReceivingServer, receiving_server


def _emitter(folder: Path, url: str = NOBODY) -> Emitter:
    return Emitter(settings(folder, url), host=SampleHost())


def _phases(server: ReceivingServer) -> list[tuple[str, str | None]]:
    return [(each["phase"], each.get("reason")) for each in server.markers()]


def test_a_deploy_that_succeeds_is_planned_applying_applied(tmp_path: Path) -> None:
    with receiving_server() as server, closing(_emitter(tmp_path, server.url)) as emitter:
        with Deploying(emitter, fields()) as deployment:
            assert deployment.deployment_id.startswith("d-")
        emitter.flush()
        assert [phase for phase, _ in _phases(server)] == ["planned", "applying", "applied"]
    assert {each.deployment_id for each in deployment.marks} == {deployment.deployment_id}


_ENDS: dict[str, tuple[BaseException, str]] = {
    "an error": (ValueError("helm said no\nand more"), "ValueError: helm said no"),
    "an error without words": (ValueError(), "ValueError"),
    "a long one": (ValueError("x" * 9_000), "ValueError: " + "x" * 243 + "…"),
    "half a character": (ValueError("\ud800"), "ValueError: ?"),
    "an interrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "an exit with an error": (SystemExit(3), "SystemExit: 3"),
    "an exit with words": (SystemExit("no"), "SystemExit: no"),
}


@pytest.mark.parametrize("name", _ENDS)
def test_a_deploy_that_fails_says_why_and_the_exception_goes_on(tmp_path: Path, name: str) -> None:
    error, reason = _ENDS[name]
    with receiving_server() as server, closing(_emitter(tmp_path, server.url)) as emitter:
        with pytest.raises(type(error)), Deploying(emitter, fields()):
            raise error
        emitter.flush()
        assert _phases(server)[-1] == ("failed", reason)


@pytest.mark.parametrize("code", [None, 0])
def test_an_exit_without_error_is_a_success(tmp_path: Path, code: int | None) -> None:
    with receiving_server() as server, closing(_emitter(tmp_path, server.url)) as emitter:
        with pytest.raises(SystemExit), Deploying(emitter, fields()):
            raise SystemExit(code)
        emitter.flush()
        assert _phases(server)[-1] == ("applied", None)


def test_a_deploy_that_is_described_wrongly_still_deploys(tmp_path: Path) -> None:
    with closing(_emitter(tmp_path)) as emitter, Deploying(emitter, {"servise": "a"}) as deployment:
        pass
    assert deployment.deployment_id == ""
    assert {each.state for each in deployment.marks} == {State.REFUSED}
