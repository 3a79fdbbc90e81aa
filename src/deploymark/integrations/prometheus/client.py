"""Asks a Prometheus over HTTP. Bounded in size and time, redirects are not followed.

It knows addresses, secrets and errors; what the question means is `question`'s, what the answer
means is `answer`'s business.
"""

import base64
import http.client
import ipaddress
import re
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Meta, Struct

from deploymark.emit.bounded import bounded_connection
from deploymark.errors import CountsUnavailableError, DeploymarkError, QueryError, UsageError
from deploymark.integrations.prometheus.answer import Series, read_answer, read_refusal

MAX_ANSWER_BYTES: Final = 64 * 1_024 * 1_024
"""A longer answer is none; `source` asks for less time at once before that."""

_PATH: Final = "/api/v1/query_range"
_MAX_SECRET_BYTES: Final = 16_384
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)
_LABEL: Final = "^[a-zA-Z_][a-zA-Z0-9_]*$(?!\\n)"

Label = Annotated[str, Meta(pattern=_LABEL, max_length=128)]
Text = Annotated[str, Meta(max_length=1_024)]


class PrometheusSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a Prometheus is, and how it scrapes.

    Attributes:
        url: Its address, with the path under which its API lies, if any; https, or http on this
            host.
        scrape_seconds: How often it scrapes what is counted; the grain of every question. Buckets
            are multiples of it.
        look_back_seconds: How far before a window is looked: for values to subtract, and for who
            is young. At least the warm-up, and some more for gaps.
        join: Labels that `deploymark_info` and the counters have in common.
        info: The metric that says which deployment runs where.
        timeout_seconds: How long one question may take in all.
        token_file: File with a bearer token; read for each question, so it may be replaced.
        user: Name for basic authentication.
        password_file: File with its password.
        ca_file: Certificates of a private authority, PEM.
        allow_plain_http: Accept http to other hosts.
    """

    url: Text
    scrape_seconds: Annotated[int, Meta(ge=1, le=300)] = 15
    look_back_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 900
    join: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=8)] = ("namespace", "pod")
    info: Label = "deploymark_info"
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=300)] = 10.0
    token_file: Text = ""
    user: Text = ""
    password_file: Text = ""
    ca_file: Text = ""
    allow_plain_http: bool = False


class PrometheusClient:
    """Asks one Prometheus; any thread may.

    Args:
        name: Which one, for people.
        settings: Where it is.

    Raises:
        UsageError: The address is none, or the settings contradict each other.
    """

    def __init__(self, name: str, settings: PrometheusSettings) -> None:
        self._name = name
        self._settings = settings
        self._host, self._port, self._path, secure = _parse_url(
            settings.url, allow_plain_http=settings.allow_plain_http
        )
        self._tls = _tls(settings.ca_file) if secure else None
        if bool(settings.user) != bool(settings.password_file):
            raise UsageError(f"The Prometheus {name} has a user without a password, or vice versa.")
        if settings.user and settings.token_file:
            raise UsageError(f"The Prometheus {name} has both a token and a password.")

    def ask(self, expression: str, since_ms: int, until_ms: int, step_ms: int) -> list[Series]:
        """Return what an expression was at each step, both ends included.

        Raises:
            CountsUnavailableError: It did not answer, or with no whole answer.
            QueryError: It does not understand the expression.
        """
        asked = {
            "query": expression,
            "start": f"{since_ms / 1_000:.3f}",
            "end": f"{until_ms / 1_000:.3f}",
            "step": f"{step_ms / 1_000:.3f}",
            "timeout": f"{self._settings.timeout_seconds:.3f}",
        }
        status, content = self._post(urlencode(asked).encode())
        try:
            if status == HTTPStatus.OK:
                return read_answer(content)
            raise self._refusal(status, content)
        except msgspec.MsgspecError as error:
            raise CountsUnavailableError(
                f"The Prometheus {self._name} gave an answer that is none of Prometheus: {error}.",
                hint="Its address may be that of a proxy or of another program.",
            ) from error

    def _post(self, body: bytes) -> tuple[int, bytes]:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "User-Agent": "deploymark",
            **self._authorization(),
        }
        try:
            with bounded_connection(
                self._host, self._port, self._tls, self._settings.timeout_seconds
            ) as connection:
                connection.request("POST", self._path, body, headers)
                with connection.getresponse() as response:
                    content = response.read(MAX_ANSWER_BYTES + 1)
                    is_cut = bool(response.length)
        except (OSError, http.client.HTTPException) as error:
            raise CountsUnavailableError(
                f"The Prometheus {self._name} did not answer: {str(error) or type(error).__name__}."
            ) from error
        if len(content) > MAX_ANSWER_BYTES or is_cut:
            raise CountsUnavailableError(
                f"The Prometheus {self._name} gave an answer without its end.",
                hint=f"Answers have at most {MAX_ANSWER_BYTES} bytes; count fewer series.",
            )
        return response.status, content

    def _refusal(self, status: int, content: bytes) -> DeploymarkError:
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return CountsUnavailableError(
                f"The Prometheus {self._name} refuses who asks ({status}).",
                hint="Check its token_file, or user and password_file.",
            )
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return CountsUnavailableError(
                f"The Prometheus {self._name} redirects ({status}), which is not followed.",
                hint="Name the URL at which it really is.",
            )
        kind, message = read_refusal(content)
        # Only what it cannot even read is wrong for good; an execution may fail for its data.
        refusal = QueryError if kind == "bad_data" else CountsUnavailableError
        return refusal(f"The Prometheus {self._name} answered {status} {kind}: {message}")

    def _authorization(self) -> dict[str, str]:
        settings = self._settings
        if settings.token_file:
            return {"Authorization": f"Bearer {self._secret(settings.token_file)}"}
        if settings.user:
            pair = f"{settings.user}:{self._secret(settings.password_file)}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        return {}

    def _secret(self, file: str) -> str:
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(_MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise CountsUnavailableError(
                f"The secret for the Prometheus {self._name} cannot be read: {error.strerror}.",
                hint=f"Check the name and the permissions of {file}.",
            ) from error
        secret = content.decode("utf-8", "replace").strip()
        if len(content) > _MAX_SECRET_BYTES or not _VISIBLE.fullmatch(secret):
            # It is not shown: it may be a secret all the same.
            raise CountsUnavailableError(
                f"The secret for the Prometheus {self._name} is empty or no line of plain text.",
                hint=f"Look into {file}.",
            )
        return secret


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # also what is no certificate
        raise UsageError(
            f"The certificates {ca_file} cannot be used: {error.strerror or error}.",
            hint="ca_file is a PEM file with the certificate of the authority.",
        ) from error


def _parse_url(url: str, *, allow_plain_http: bool) -> tuple[str, int, str, bool]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"The URL of a Prometheus is none: {error}.",
            hint="It looks like http://127.0.0.1:9090.",
        ) from error
    odd = parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in {"http", "https"} or not host or odd or not _VISIBLE.fullmatch(url):
        raise UsageError(
            # What stands before an @ may be a password.
            "The URL of a Prometheus is none." if "@" in url else f"{url!r} is no Prometheus URL.",
            hint="Name it like https://prometheus.example:9090; passwords belong into files.",
        )
    secure = parts.scheme == "https"
    if not secure and not allow_plain_http and not _is_loopback(host):
        raise UsageError(
            f"The Prometheus {url!r} is not on this host, and http is not protected.",
            hint="Use https, or set allow_plain_http for it in a network you trust.",
        )
    return host, port or (443 if secure else 80), parts.path.rstrip("/") + _PATH, secure


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
