"""Real proxies with the shipped configurations: who answered, who called, and nothing else."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts import SAYS_ITSELF, Cohorts, cohorts, plausible
from proxies import Answer, Header, Proxy, free_port, nginx_joins_lines, running

OURS = "deploymark.upstream=d-caller"
REQUESTS = 600
OF_THE_COHORTS = {
    *("x-answered-by", "x-deployment-id", "cache-control", "vary"),
    *("content-length", "server", "date"),
}
OF_THE_PROXIES = {"connection", "x-envoy-upstream-service-time"}


@pytest.fixture(scope="session", params=["nginx", "haproxy", "envoy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    place = tmp_path_factory.mktemp("proxy") / str(request.param)
    with cohorts() as both, running(str(request.param), place, both) as proxy:
        yield proxy


def ask(proxy: Proxy, door: str, *headers: Header, path: str = "/") -> Answer:
    with proxy.client(door) as client:
        return client.get(path, headers)


def lines(*values: str) -> list[Header]:
    return [("baggage", value) for value in values]


# What others said, word for word, and what is left of it when nobody, or we, call.
BAGGAGE: dict[str, tuple[list[str], str]] = {
    "none": ([], ""),
    "empty": ([""], ""),
    "one member of others": (["user=7"], "user=7"),
    "several members of others": (["user=7, plan=gold;p=1,x=%2C"], "user=7, plan=gold;p=1,x=%2C"),
    "only ours": (["deploymark.upstream=d-evil"], ""),
    "ours first": (["deploymark.upstream=d-evil,user=7"], "user=7"),
    "ours in the middle": (["a=1,deploymark.upstream=d-evil;p=1,b=2"], "a=1,b=2"),
    "ours last": (["a=1, deploymark.upstream = d-evil"], "a=1"),
    "ours twice": (["deploymark.upstream=x,a=1,deploymark.upstream=y"], "a=1"),
    "ours thrice": (
        ["deploymark.upstream=x,a,deploymark.upstream=y,b=2,deploymark.upstream=z"],
        "a,b=2",
    ),
    "ours without a value": (["a=1,deploymark.upstream,b=2"], "a=1,b=2"),
    "ours with an empty value": (["deploymark.upstream=,b=2"], "b=2"),
    "ours with properties only": (["deploymark.upstream;p=1,b=2"], "b=2"),
    "ours behind a quote": (['a="1,deploymark.upstream=d-evil"'], 'a="1'),
    "ours behind a backslash": ([r"a=\,deploymark.upstream=d-evil"], "a=\\"),
    "our key encoded": (["%64eploymark%2Eupstrea%6d=d-evil,a=1"], "a=1"),
    "our key behind an encoded blank": (["%20+deploymark.upstream%09=d-evil,a=1"], "a=1"),
    "our key behind a tab": (["a=1,\tdeploymark.upstream=d-evil"], "a=1"),
    "a key that begins like ours": (["deploymark.upstream2=1"], "deploymark.upstream2=1"),
    "a key that ends like ours": (["my-deploymark.upstream=1"], "my-deploymark.upstream=1"),
    "a key of another case": (["Deploymark.Upstream=1"], "Deploymark.Upstream=1"),
    "ours as a value": (["a=deploymark.upstream=1"], "a=deploymark.upstream=1"),
    "encoded keys of others": (["user%2Fid=7"], "user%2Fid=7"),
    "no members at all": (["===,;;,%,%zz"], "===,;;,%,%zz"),
    "a long one": (["a=" + "x" * 3000 + ",deploymark.upstream=d-evil"], "a=" + "x" * 3000),
}


@pytest.mark.parametrize("case", BAGGAGE)
def test_the_edge_removes_what_outsiders_say_of_the_caller_and_nothing_else(
    proxy: Proxy, case: str
) -> None:
    said, left = BAGGAGE[case]
    assert ask(proxy, "edge", *lines(*said)).baggage == ([left] if left else [])


@pytest.mark.parametrize("case", BAGGAGE)
def test_the_way_out_replaces_who_calls_and_keeps_the_other_members(
    proxy: Proxy, case: str
) -> None:
    said, left = BAGGAGE[case]
    assert ask(proxy, "outbound", *lines(*said)).baggage == [f"{OURS},{left}" if left else OURS]


def test_inside_what_callers_say_stays_as_it_was_said(proxy: Proxy) -> None:
    said = "user=7,deploymark.upstream=d-other"
    assert ask(proxy, "inside", *lines(said)).baggage == [said]


def test_several_lines_become_one_and_none_of_them_brings_in_a_caller(proxy: Proxy) -> None:
    many = lines("a=1,deploymark.upstream=x", "deploymark.upstream=y", "b=2, c=3")
    # An old nginx reads the first line only, and drops the others.
    left = "a=1" if proxy.program == "nginx" and not nginx_joins_lines() else "a=1,b=2, c=3"
    assert ask(proxy, "edge", *many).baggage == [left]
    assert ask(proxy, "outbound", *many).baggage == [f"{OURS},{left}"]


def test_a_caller_that_repeats_itself_for_ever_gets_nothing_past_the_edge(proxy: Proxy) -> None:
    flood = ",".join(f"a{number}=1,deploymark.upstream=x" for number in range(80))
    (left,) = ask(proxy, "edge", *lines(flood)).baggage or [""]
    assert "deploymark.upstream" not in left
    assert ask(proxy, "outbound", *lines(flood)).baggage[0].count("deploymark.upstream") == 1


def test_each_response_of_a_canary_names_the_deployment_of_the_cohort_that_answered(
    proxy: Proxy,
) -> None:
    with proxy.client("edge") as client:
        answers = [client.get() for _ in range(REQUESTS)]
    assert {each.status for each in answers} == {200}
    for each in answers:
        assert each.header("x-deployment-id") == f"d-{each.header('x-answered-by')}"
    canary = sum(each.header("x-answered-by") == "canary" for each in answers)
    assert plausible(canary, REQUESTS, 0.1), canary


def test_the_bounds_of_the_split_tell_ten_percent_from_other_shares() -> None:
    assert plausible(60, 600, 0.1)
    assert not plausible(0, 600, 0.1)
    assert not plausible(120, 600, 0.1)
    assert not plausible(540, 600, 0.1)


def test_what_a_service_says_of_itself_stands_and_comes_once(proxy: Proxy) -> None:
    for door in ("edge", "inside", "outbound"):
        answer = ask(proxy, door, path=SAYS_ITSELF)
        assert answer.header("x-deployment-id") == f"d-itself-{answer.header('x-answered-by')}"


def test_where_nobody_answers_no_deployment_is_named(proxy: Proxy, tmp_path: Path) -> None:
    nobody = Cohorts(free_port(), free_port())
    with running(proxy.program, tmp_path / "alone", nobody) as alone:
        answer = ask(alone, "edge")
        assert answer.status in {502, 503}
        assert answer.header("x-deployment-id") == ""


def test_nothing_else_is_touched(proxy: Proxy) -> None:
    said = [
        ("Accept", "text/html"),
        ("X-Deployment-Id", "d-in-a-request"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("Tracestate", "ot=th:8"),
        ("Cookie", "a=1; b=2"),
    ]
    asked = {}
    for door in ("edge", "inside", "outbound"):
        answer = ask(proxy, door, *said, *lines("a=1,deploymark.upstream=d-evil"))
        got = [(name, value) for name, value in answer.asked if name != "baggage"]
        assert {(name.lower(), value) for name, value in said} <= set(got)
        # What a proxy adds of its own accord differs in value only.
        asked[door] = sorted(name for name, _ in got)
        # The cohort's own headers, ours, and what each proxy adds of its own accord.
        assert {name for name, _ in answer.headers} - OF_THE_PROXIES == OF_THE_COHORTS
        assert answer.header("vary") == "accept"
    assert asked["edge"] == asked["inside"] == asked["outbound"]


def test_the_access_log_names_the_deployment_that_answered(proxy: Proxy) -> None:
    answer = ask(proxy, "edge", path=f"{SAYS_ITSELF}/in-the-log")
    expected = f"deployment_id={answer.header('x-deployment-id')}"
    assert answer.header("x-deployment-id")
    for _ in range(600):
        if expected in proxy.access_log:
            return
        time.sleep(0.05)
    raise AssertionError(proxy.access_log)
