"""The fault library and the process that runs with it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine, machine

_SOURCE = Path(__file__).with_name("faultfs.c")
_FLAGS = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fault library, built; without a compiler the tests that need it skip and say so."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("No C compiler: faults cannot be injected. `tools/system-packages` brings one.")
    built = tmp_path_factory.mktemp("library") / "faultfs.so"
    subprocess.run(
        [compiler, *_FLAGS, "-o", str(built), str(_SOURCE), "-ldl"],
        check=True,
    )
    return built


@pytest.fixture(scope="session")
def place(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose processes can be made to fail."""
    with machine(tmp_path_factory.mktemp("machine"), library) as started:
        yield started


@pytest.fixture(scope="session")
def calls(place: Machine) -> list[str]:
    """Every call that changes a file while the workload runs undisturbed."""
    with place.copy_of_template() as data:
        run = place.ask("workload", args={"path": str(data)}, below=str(data.parent), trace=True)
    assert run.faults() == []
    assert run.all_of("done")
    return run.calls
