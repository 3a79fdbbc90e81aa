"""What is shipped beside the examples: njs for an old nginx, and Istio's files without Istio."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cohorts import SAYS_ITSELF, Cohorts, cohorts
from proxies import SHIPPED, free_port, running

NJS = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
ISTIO = SHIPPED / "istio" / "shop.yaml"
MANY = [("baggage", value) for value in ("a=1,deploymark.upstream=x", "deploymark.upstream=y,b=2")]
UNTRUSTED = [("baggage", "a=1,deploymark.upstream=d-evil,%64eploymark.upstream=d-evil,b=2")]


@pytest.fixture
def both() -> Iterator[Cohorts]:
    with cohorts() as both:
        yield both


@pytest.mark.skipif(not NJS.exists(), reason="njs is not installed (libnginx-mod-http-js)")
def test_with_njs_every_nginx_joins_all_lines(both: Cohorts, tmp_path: Path) -> None:
    joined = (SHIPPED / "nginx" / "joined.js").read_text()
    words = re.findall(r"^//   (js_\w+ .*;)$", joined, re.MULTILINE)

    def change(example: str) -> str:
        after = "include deploymark.conf;"
        loaded = example.replace(after, "\n".join([after, *words]))
        return f"load_module {NJS};\n{loaded}"

    with running("nginx", tmp_path / "njs", both, change=change) as nginx:
        with nginx.client("edge") as client:
            assert client.get(headers=MANY).baggage == ["a=1,b=2"]
        with nginx.client("outbound") as client:
            expected = ["deploymark.upstream=d-caller,a=1,b=2"]
            assert client.get(headers=MANY).baggage == expected


def test_nginx_names_who_answered_after_it_tried_somebody_else(
    both: Cohorts, tmp_path: Path
) -> None:
    dead = f"server 127.0.0.1:{free_port()};"

    def change(example: str) -> str:
        return re.sub(r"(upstream \w+ \{)", rf"\1 {dead}", example)

    with running("nginx", tmp_path / "retry", both, change=change) as nginx:
        for _ in range(4):
            with nginx.client("edge") as client:
                answer = client.get()
            assert answer.header("x-deployment-id") == f"d-{answer.header('x-answered-by')}"


def test_nginx_does_not_guess_who_once_answered_what_it_has_cached(
    both: Cohorts, tmp_path: Path
) -> None:
    cached = (
        "proxy_cache c; proxy_cache_key $request_uri; proxy_cache_valid 1m; "
        "proxy_ignore_headers Cache-Control Vary;"
    )

    def change(example: str) -> str:
        example = example.replace("include edge.conf;", f"include edge.conf; {cached}")
        zone = f"proxy_cache_path {tmp_path}/cache keys_zone=c:1m;"
        return example.replace("http {\n", f"http {{\n{zone}\n", 1)

    place = tmp_path / "nginx"
    with running("nginx", place, both, change=change) as nginx, nginx.client("edge") as client:
        answers = [client.get(path) for path in ("/", "/", SAYS_ITSELF, SAYS_ITSELF)]
    fresh, again, said, said_again = [each.header("x-deployment-id") for each in answers]
    assert fresh == f"d-{answers[0].header('x-answered-by')}"
    assert again == ""
    assert said == said_again == f"d-itself-{answers[2].header('x-answered-by')}"


def replacement(text: str) -> str:
    """Return the function that all Lua has in common, without its indentation."""
    lines = [line.strip() for line in text.splitlines()]
    first = lines.index("local function replace_upstream(lines, caller)")
    last = lines.index('return table.concat(members, ",")', first)
    return "\n".join(lines[first : last + 2])


def of_istio() -> dict[str, dict[str, Any]]:
    """Return what is shipped for Istio, by kind and name."""
    documents = yaml.safe_load_all(ISTIO.read_text())
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in documents}


def filter_of(document: dict[str, Any]) -> dict[str, Any]:
    (patch,) = document["spec"]["configPatches"]
    found: dict[str, Any] = patch["patch"]["value"]
    return found


def test_all_lua_replaces_the_caller_in_the_same_words() -> None:
    documents = of_istio()
    texts = [(SHIPPED / name / "deploymark.lua").read_text() for name in ("haproxy", "envoy")]
    for name in ("edge", "outbound"):
        own = filter_of(documents[f"EnvoyFilter/deploymark-{name}"])["typed_config"]
        texts.append(own["default_source_code"]["inline_string"])
    assert len({replacement(text) for text in texts}) == 1


def test_what_istio_gets_is_of_the_right_form() -> None:
    documents = of_istio()
    contexts = {}
    for name, document in documents.items():
        if name.startswith("EnvoyFilter/"):
            (patch,) = document["spec"]["configPatches"]
            contexts[name] = (patch["applyTo"], patch["match"]["context"])
            assert patch["patch"]["operation"] == "INSERT_BEFORE"
            assert document["apiVersion"] == "networking.istio.io/v1alpha3"
        else:
            assert document["apiVersion"] == "networking.istio.io/v1"
    assert contexts == {
        "EnvoyFilter/deploymark-edge": ("HTTP_FILTER", "GATEWAY"),
        "EnvoyFilter/deploymark-outbound": ("HTTP_FILTER", "SIDECAR_OUTBOUND"),
    }
    (route,) = documents["VirtualService/shop"]["spec"]["http"]
    assert sum(each["weight"] for each in route["route"]) == 100
    named = {
        each["destination"]["subset"]: each["headers"]["response"]["set"]["x-deployment-id"]
        for each in route["route"]
    }
    subsets = documents["DestinationRule/shop"]["spec"]["subsets"]
    assert named == {
        each["name"]: each["labels"]["deploymark.dev/deployment-id"] for each in subsets
    }


@pytest.mark.parametrize("own", ["d-of-the-pod", ""])
def test_the_filters_for_istio_work_in_envoy(
    both: Cohorts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    if own:
        monkeypatch.setenv("DEPLOYMARK_DEPLOYMENT_ID", own)
    documents = of_istio()

    def change(example: str) -> str:
        configuration = yaml.safe_load(example)
        for listener in configuration["static_resources"]["listeners"]:
            document = documents.get(f"EnvoyFilter/deploymark-{listener['name']}")
            if document is not None:
                manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
                manager["http_filters"][0] = filter_of(document)
        changed: str = yaml.safe_dump(configuration)
        return changed

    with running("envoy", tmp_path / "istio", both, change=change) as envoy:
        with envoy.client("edge") as client:
            assert client.get(headers=UNTRUSTED).baggage == ["a=1,b=2"]
        with envoy.client("outbound") as client:
            said = f"deploymark.upstream={own},a=1,b=2" if own else "a=1,b=2"
            assert client.get(headers=UNTRUSTED).baggage == [said]
