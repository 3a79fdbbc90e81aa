"""The control plane of the tests: the double, or a real one."""

from collections.abc import Iterator

import pytest
from control_plane import ASSETS, ControlPlane, Kubelet, doubled, real_server, with_namespace


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str] | None]:
    """URL and token of a real control plane, None without one."""
    if not ASSETS:
        yield None
        return
    with real_server(tmp_path_factory.mktemp("control-plane")) as found:
        yield found


@pytest.fixture
def plane(server: tuple[str, str] | None) -> Iterator[ControlPlane]:
    """A control plane with a namespace of its own."""
    if server is not None:
        yield with_namespace(*server)
        return
    with doubled() as found:
        yield found


@pytest.fixture
def kubelet(plane: ControlPlane) -> Iterator[Kubelet]:
    """Pods become ready while the test runs."""
    with Kubelet(plane) as found:
        yield found


@pytest.fixture
def only_the_double(plane: ControlPlane) -> None:
    """For what cannot be brought about in a real control plane."""
    if plane.is_real:
        pytest.skip("brought about in the double only")
