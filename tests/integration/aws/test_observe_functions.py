"""`deploymark observe --lambda`: what it shows, and what it says when it cannot."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from account import REGION, Account

from deploymark.cli import main
from deploymark.errors import ObservationError, OutcomeUnknownError
from deploymark.integrations.aws_lambda.access import AwsAccess
from deploymark.integrations.aws_lambda.api import Functions
from deploymark.integrations.aws_lambda.functions import FunctionsOptions, LambdaFunctions
from deploymark.integrations.aws_lambda.routing import Alias
from deploymark.testing.receiving_server import receiving_server

Observe = Callable[..., tuple[int, str, str]]


@pytest.fixture
def observe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Observe:
    """Runs the command in the account of the test; gives exit code, results and complaints."""
    monkeypatch.setenv("DEPLOYMARK_SPOOL", str(tmp_path / "spool"))

    def run(url: str, *more: str) -> tuple[int, str, str]:
        words = ("observe", "--service", "shop", "--environment", "prod", "--endpoint-url", url)
        code = main([*words, *more])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run


def test_a_dry_run_shows_what_each_alias_leads_to(aws: Account, observe: Observe) -> None:
    old, new = aws.publish(b"old"), aws.publish(b"new")
    aws.alias("prod", old[0])
    aws.alias("beta", new[0])
    url = aws.door.url
    code, told, _ = observe(url, "--lambda", "shop:prod", "--dry-run")
    assert (code, told) == (0, f"lambda/shop:prod/{old[0]} runs {old[1]}\n")
    both = observe(url, "--lambda", "shop", "--dry-run")[1]
    assert sorted(both.splitlines()) == [
        f"lambda/shop:beta/{new[0]} runs {new[1]}",
        f"lambda/shop:prod/{old[0]} runs {old[1]}",
    ]
    each = ("--lambda", "shop:prod", "--lambda", "shop:beta", "--lambda", "shop:prod")
    assert sorted(observe(url, *each, "--dry-run")[1].splitlines()) == sorted(both.splitlines())


def test_a_function_may_be_named_by_its_arn(aws: Account, observe: Observe) -> None:
    version, _ = aws.publish(b"old")
    aws.alias("prod", version)
    arn = aws.shown("prod")["AliasArn"]
    code, told, complaint = observe(aws.door.url, "--lambda", arn, "--dry-run")
    assert (code, told.startswith("lambda/shop:prod/")) == (0, True), complaint


def test_a_marker_says_in_which_region_and_who_looked(aws: Account, observe: Observe) -> None:
    version, digest = aws.publish(b"old")
    aws.alias("prod", version)
    with receiving_server() as server:
        code, _, _ = observe(aws.door.url, "--lambda", "shop:prod", "--url", server.url)
        (marker,) = server.markers()
    assert code == 0
    assert marker["target"] == {
        "region": REGION,
        "instance": f"lambda/shop:prod/{version}",
        "instance_uid": f"{aws.shown('prod')['AliasArn']}/{version}/revision-0",
    }
    assert marker["evidence"]["observer"] == "lambda:shop:prod"
    assert (marker["evidence"]["basis"], marker["evidence"]["digest"]) == ("observed", digest)


def test_of_several_functions_one_that_cannot_be_seen_hides_no_other(
    aws: Account, observe: Observe
) -> None:
    version, _ = aws.publish(b"old")
    aws.alias("prod", version)
    both = ("--lambda", "shop:nowhere", "--lambda", "shop:prod")
    with receiving_server() as server:
        code, told, complaint = observe(aws.door.url, *both, "--url", server.url)
        assert [each["phase"] for each in server.markers()] == ["running"]
    assert code == 69
    assert "running arn:" in told
    assert "AWS refuses shop:nowhere" in complaint


def test_what_may_be_other_code_at_any_moment_is_no_success(aws: Account, observe: Observe) -> None:
    aws.alias("prod", "$LATEST")
    code, told, _ = observe(aws.door.url, "--lambda", "shop:prod", "--dry-run")
    assert (code, "publish a version" in told) == (2, True)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDeniedException", "AWS refuses shop:prod"),
        (403, "ExpiredTokenException", "AWS refuses shop:prod"),
        (404, "ResourceNotFoundException", "AWS refuses shop:prod"),
        (429, "TooManyRequestsException", "AWS wants to be asked again"),
        (400, "ThrottlingException", "AWS wants to be asked again"),
        (503, "ServiceException", "AWS does not answer"),
    ],
)
def test_what_aws_refuses_is_told_in_a_sentence(
    aws: Account, observe: Observe, status: int, code: str, said: str
) -> None:
    aws.door.answers = {"GET": (status, code)}
    exit_code, told, complaint = observe(aws.door.url, "--lambda", "shop:prod", "--dry-run")
    assert (exit_code, told) == (69, "")
    sentence, hint = complaint.splitlines()
    assert said in sentence
    assert "deploy/aws/observer-policy.json" in hint


@contextmanager
def answering(body: bytes | None) -> Iterator[str]:
    """Run what answers every request with a success of some other kind, or hangs up."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if body is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "body", [None, b"", b"<h1>Log in</h1>", b"[]", json.dumps({"Aliases": 7}).encode()]
)
@pytest.mark.parametrize("named", ["shop:prod", "shop"])
def test_an_answer_that_is_none_is_told_in_a_sentence(
    observe: Observe, body: bytes | None, named: str
) -> None:
    with answering(body) as url:
        code, told, complaint = observe(url, "--lambda", named, "--dry-run")
    assert (code, told) == (69, "")
    assert "AWS does not answer" in complaint


def test_nobody_there_and_no_credentials_are_told(
    observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, complaint = observe("http://127.0.0.1:1", "--lambda", "shop:prod", "--dry-run")
    assert (code, "AWS is not reached" in complaint) == (69, True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, _, complaint = observe("http://127.0.0.1:1", "--lambda", "shop:prod", "--dry-run")
    assert (code, "credentials" in complaint) == (69, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--lambda", ""), "which function"),
        (("--lambda", ":prod"), "which function"),
        (("--lambda", "shop", "--unit", "x"), "--unit does not go with --lambda"),
        (("--lambda", "shop", "--label", "a=b"), "--label does not go with --lambda"),
        (("--lambda", "shop", "--profile", "nobody"), "cannot be reached"),
        (("--port", "80"), "--endpoint-url does not go with a look at processes"),
    ],
)
def test_flags_that_say_too_little_or_too_much_are_refused(
    observe: Observe, more: tuple[str, ...], said: str
) -> None:
    code, _, complaint = observe("http://127.0.0.1:1", *more, "--dry-run")
    assert (code, said in complaint) == (64, True), complaint


def test_one_command_looks_at_so_many_functions_and_no_more(observe: Observe) -> None:
    many = [word for number in range(51) for word in ("--lambda", f"shop-{number}")]
    code, _, complaint = observe("http://127.0.0.1:1", *many, "--dry-run")
    assert (code, "no more than 50" in complaint) == (64, True)


def test_what_came_of_an_update_that_a_gateway_answered_is_unknown() -> None:
    with answering(b"<h1>Log in</h1>") as url:
        functions = Functions(AwsAccess(region=REGION, endpoint_url=url))
        wanted = Alias(arn="", version="2", weights={}, description="", revision="")
        with pytest.raises(OutcomeUnknownError, match="with something else"):
            functions.point("shop", "prod", wanted)
        functions.close()


def test_an_aws_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = FunctionsOptions(
            function="shop", alias="prod", region=REGION, endpoint_url=url, request_seconds=0.1
        )
        observer = LambdaFunctions(options)
        with pytest.raises(ObservationError, match="AWS does not answer for shop:prod"):
            observer.observe()
        observer.close()


def test_without_its_extra_the_command_says_what_to_install(
    observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "deploymark.integrations.aws_lambda.api", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    code, _, complaint = observe("http://127.0.0.1:1", "--lambda", "shop:prod", "--dry-run")
    assert (code, "pip install '.[aws]'" in complaint) == (64, True), complaint
