"""The actuator `envoy_weights` shifts the traffic of a real Envoy."""

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest
from cohorts import cohorts, plausible
from proxies import Proxy, running

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.envoy.actuator import EnvoyActuator, EnvoyOptions
from deploymark.integrations.envoy.routes import opened
from deploymark.ports import Actuator, Deed, Found, Release
from deploymark.testing.actuator import Trouble, exercise_actuator, order_for

REQUESTS = 600


def routes(canary: int, stable: int) -> dict[str, object]:
    clusters = [
        {"name": "shop_stable", "weight": stable},
        {"name": "shop_canary", "weight": canary},
    ]
    return {
        "version_info": "by hand",
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": "shop",
                "virtual_hosts": [
                    {
                        "name": "shop",
                        "domains": ["*"],
                        "routes": [
                            {
                                "match": {"prefix": "/about-us"},
                                "direct_response": {"status": 204},
                            },
                            {
                                "match": {"prefix": "/"},
                                "route": {"weighted_clusters": {"clusters": clusters}},
                            },
                        ],
                    }
                ],
            }
        ],
    }


class EnvoyWorld:
    """An Envoy that begins with all traffic for the stable cluster."""

    sees = remembers_fence = True
    canary = Release("d-new~1", "2", "", "shop_canary")
    stable = Release("d-old~1", "1", "", "shop_stable")

    def __init__(self, proxy: Proxy, canary: int = 0, stable: int = 1) -> None:
        self._proxy = proxy
        self.file = proxy.place / "weights.yaml"
        self.move(json.dumps(routes(canary, stable)))
        # The way to the file leads over a link, so that it can be made to lead elsewhere.
        self._link, self._aside = proxy.place / "link", proxy.place / "aside"
        self._aside.mkdir(exist_ok=True)
        self._lead_to(proxy.place)
        self._kept = ""
        share = 100 * canary / (canary + stable)
        for _ in range(500):
            if abs(self.weight() - share) < 0.001:
                return
            time.sleep(0.02)
        pytest.fail("Envoy does not take up the weights")

    def options(self, **more: object) -> EnvoyOptions:
        told: dict[str, object] = {
            "file": str(self._link / "weights.yaml"),
            "route_config": "shop",
            "admin": [f"http://127.0.0.1:{self._proxy.ports['admin']}"],
            "timeout_seconds": 3.0,
        }
        return msgspec.convert(told | more, EnvoyOptions)

    def actuator(self) -> Actuator:
        return EnvoyActuator(self.options())

    def move(self, text: str) -> None:
        new = self.file.with_name("moved")
        new.write_text(text)
        new.rename(self.file)

    def weight(self) -> float:
        """Ask Envoy, by another way of reading than the actuator's."""
        url = f"http://127.0.0.1:{self._proxy.ports['admin']}/config_dump"
        with urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        (dump,) = (each for each in json.loads(text)["configs"] if "dynamic_route_configs" in each)
        (config,) = (
            each["route_config"]
            for each in dump["dynamic_route_configs"]
            if each["route_config"]["name"] == "shop"
        )
        clusters = config["virtual_hosts"][0]["routes"][-1]["route"]["weighted_clusters"][
            "clusters"
        ]
        weights = {each["name"]: float(each["weight"]) for each in clusters}
        return 100 * weights["shop_canary"] / sum(weights.values())

    def suffer(self, trouble: Trouble) -> bool:
        if trouble is Trouble.AWAY:
            os.kill(self._proxy.process, signal.SIGSTOP)
        elif trouble is Trouble.REFUSES:
            self._kept = self.file.read_text()
            self.file.write_text("resources: []")  # in place, so that Envoy sees nothing of it
        elif trouble is Trouble.SILENT:
            shutil.copy(self.file, self._aside)
            self._lead_to(self._aside)
        else:
            os.kill(self._proxy.process, signal.SIGCONT)
            self._lead_to(self._proxy.place)
            if self._kept:
                self.file.write_text(self._kept)
        return True

    def _lead_to(self, folder: Path) -> None:
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(folder)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    place = tmp_path_factory.mktemp("proxy") / "envoy"
    with cohorts() as both, running("envoy", place, both) as proxy:
        yield proxy


def test_it_passes_the_suite(proxy: Proxy) -> None:
    exercise_actuator(lambda: EnvoyWorld(proxy))


def answered(proxy: Proxy) -> Counter[str]:
    with proxy.client("edge") as client:
        return Counter(client.get().header("x-answered-by") for _ in range(REQUESTS))


def test_requests_go_where_the_orders_say(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy, canary=1, stable=9)
    actuator = world.actuator()
    assert actuator.look(order_for(world, weight=10)) is Found.DONE
    assert plausible(answered(proxy)["canary"], REQUESTS, 0.10)

    said = actuator.carry_out(order_for(world, weight=25))
    assert said == "Envoy gives shop_canary 25 % of the requests of shop."
    seen = answered(proxy)
    assert plausible(seen["canary"], REQUESTS, 0.25), seen
    assert seen.total() == seen["canary"] + seen["stable"]

    actuator.carry_out(order_for(world, Deed.PROMOTE, step=2))
    assert answered(proxy) == {"canary": REQUESTS}
    actuator.carry_out(order_for(world, Deed.ROLL_BACK, step=3))
    assert answered(proxy) == {"stable": REQUESTS}


def test_nothing_but_weights_and_version_is_changed(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    world.file.chmod(0o640)
    world.actuator().carry_out(order_for(world, weight=25, fence=3))
    wanted = routes(2_500, 7_500) | {"version_info": "deploymark-3-41"}
    assert json.loads(world.file.read_text()) == wanted
    assert world.file.stat().st_mode & 0o777 == 0o640
    assert not world.file.with_name("weights.yaml.new").exists()


def test_a_file_that_envoy_refuses_is_taken_back(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    broken = json.dumps(routes(0, 1)).replace('"prefix": "/"', '"prefx": "/"')
    world.file.write_text(broken)
    with pytest.raises(ActuatorRefusedError, match="refuses the file"):
        world.actuator().carry_out(order_for(world, weight=25))
    assert world.file.read_text() == broken
    assert world.weight() == 0


def test_a_cluster_that_envoy_does_not_know_gets_nothing(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    world.move(json.dumps(routes(0, 1)).replace("shop_canary", "shop_next"))
    world.canary = Release("d-new~1", "2", "", "shop_next")
    with pytest.raises(ActuatorRefusedError, match="knows no cluster shop_next"):
        world.actuator().carry_out(order_for(world, weight=25))


UNFIT = {
    "no JSON": "resources:\n- name: shop\n",
    "no object": "[]",
    "no routes": "{}",
    "other routes": json.dumps(routes(0, 1)).replace('"name": "shop",', '"name": "x",'),
    "one cluster of the two": json.dumps(routes(0, 1)).replace("shop_canary", "other"),
    "a third cluster": json.dumps(routes(0, 1)).replace(
        '"clusters": [', '"clusters": [{"name": "third", "weight": 1}, '
    ),
}


@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
def test_a_file_in_which_it_cannot_be_said_is_left_as_it_is(proxy: Proxy, text: str) -> None:
    world = EnvoyWorld(proxy)
    world.file.write_text(text)
    with pytest.raises(ActuatorRefusedError):
        world.actuator().carry_out(order_for(world, weight=25))
    assert world.file.read_text() == text


def test_without_the_file_or_the_right_to_it_nothing_is_done(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    order = order_for(world, weight=25)
    with pytest.raises(ActuatorRefusedError, match="no file"):
        EnvoyActuator(world.options(file=str(proxy.place / "nowhere"))).carry_out(order)
    with pytest.raises(ActuatorUnavailableError, match="not replaced"):
        EnvoyActuator(world.options(file=str(proxy.place / "access.log" / "x"))).carry_out(order)
    assert world.weight() == 0


def test_while_another_server_writes_the_file_nothing_is_done(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    with opened(world.file), pytest.raises(ActuatorUnavailableError):
        world.actuator().carry_out(order_for(world, weight=25))
    assert world.weight() == 0


def test_clusters_may_be_named_by_the_plan(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    world.canary = Release("d-new~1", "2", "")
    world.stable = Release("d-old~1", "1", "")
    order = order_for(world, weight=25)
    with pytest.raises(ActuatorRefusedError, match="which two clusters"):
        world.actuator().carry_out(order)
    assert world.actuator().look(order) is Found.UNKNOWN
    named = EnvoyActuator(world.options(canary="shop_canary", stable="shop_stable"))
    named.carry_out(order)
    assert named.look(order) is Found.DONE


def test_all_envoys_that_watch_the_file_must_follow(proxy: Proxy) -> None:
    world = EnvoyWorld(proxy)
    order = order_for(world, weight=25)
    away = [*world.options().admin, "http://127.0.0.1:1"]
    both = EnvoyActuator(world.options(admin=away))
    with pytest.raises(ActuatorUnavailableError):
        both.carry_out(order)
    with pytest.raises(ActuatorUnavailableError):
        both.look(order)
    assert world.weight() == 0


def test_an_envoy_that_goes_away_in_between_leaves_the_outcome_unknown(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = EnvoyWorld(proxy)
    actuator = EnvoyActuator(world.options())
    replaced = os.rename

    def stop(self: Path, target: Path) -> None:
        replaced(self, target)
        os.kill(proxy.process, signal.SIGSTOP)

    monkeypatch.setattr(Path, "rename", stop)
    try:
        with pytest.raises(OutcomeUnknownError, match="was replaced"):
            actuator.carry_out(order_for(world, weight=25))
    finally:
        os.kill(proxy.process, signal.SIGCONT)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:9901", "https://127.0.0.1:9901", "http://127.0.0.1:9901/x"]
)
def test_an_admin_interface_that_is_not_of_this_host_is_refused(url: str) -> None:
    options = EnvoyOptions(file="/x", route_config="shop", admin=[url])
    with pytest.raises(UsageError):
        EnvoyActuator(options)
