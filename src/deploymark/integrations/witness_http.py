"""Asks a witness over HTTP for its cosignature (c2sp.org/tlog-witness), standard library only.

A witness is a stranger: its answer is bounded in size and time, redirects are not followed, and
what it signed is verified by whoever uses the lines.
"""

import http.client
import ipaddress
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.note import VerifierKey
from deploymark.emit.bounded import bounded_connection
from deploymark.errors import (
    DeploymarkError,
    UsageError,
    WitnessBehindError,
    WitnessConfigurationError,
    WitnessRefusedError,
    WitnessUnavailableError,
)

MAX_ANSWER_BYTES: Final = 65_536
TREE_SIZE: Final = "text/x.tlog.size"

_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,18})\n", re.ASCII)
_MAX_QUOTED: Final = 200
_PATH: Final = "/add-checkpoint"
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    media_type: str
    body: str

    def quoted(self) -> str:
        """The first line of the body, as something that may be logged."""
        return repr(self.body.partition("\n")[0][:_MAX_QUOTED])


class HttpWitness:
    """A `Witness` behind a URL.

    Args:
        vkey: Its verifier key.
        url: Its submission prefix, https or (on this host only) http.
        timeout_seconds: How long one request may take in all, name resolution aside.
        allow_plain_http: Accept http to other hosts. Cosignatures are verified either way, but
            anyone on the way can keep them from arriving, or claim that the log has forked.
        tls: Whom to trust, for witnesses with certificates of a private authority.

    Raises:
        NoteError: The verifier key is malformed.
        UsageError: The URL is not one of a witness.
    """

    def __init__(
        self,
        vkey: str,
        url: str,
        timeout_seconds: float = 5,
        *,
        allow_plain_http: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._name = VerifierKey.parse(vkey).name
        self._vkey = vkey
        self._timeout_seconds = timeout_seconds
        self._host, self._port, self._path, secure = _parse_url(
            url, allow_plain_http=allow_plain_http
        )
        self._tls = (tls or ssl.create_default_context()) if secure else None

    @property
    def vkey(self) -> str:
        """See `Witness.vkey`."""
        return self._vkey

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str) -> str:
        """See `Witness.add_checkpoint`."""
        lines = [f"old {old_size}", *map(encode_base64, proof), "", note]
        answer = self._ask("\n".join(lines).encode())
        if answer.status == http.HTTPStatus.OK:
            return answer.body
        if answer.status == http.HTTPStatus.CONFLICT and answer.media_type == TREE_SIZE:
            raise self._behind(answer)
        raise _REFUSALS.get(answer.status, _other)(self._name, answer)

    def _ask(self, body: bytes) -> _Answer:
        try:
            with bounded_connection(
                self._host, self._port, self._tls, self._timeout_seconds
            ) as connection:
                connection.request(
                    "POST",
                    self._path,
                    body,
                    {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "deploymark"},
                )
                with connection.getresponse() as response:
                    content = response.read(MAX_ANSWER_BYTES + 1)
                media_type = response.getheader("Content-Type") or ""
        except (OSError, http.client.HTTPException) as error:
            raise WitnessUnavailableError(
                f"The witness {self._name} did not answer: {str(error) or type(error).__name__}."
            ) from error
        if len(content) > MAX_ANSWER_BYTES or response.length:
            raise WitnessUnavailableError(
                f"The witness {self._name} gave an answer without its end."
            )
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise WitnessUnavailableError(
                f"The witness {self._name} answered what is not UTF-8."
            ) from error
        return _Answer(response.status, media_type.partition(";")[0].strip().lower(), text)

    def _behind(self, answer: _Answer) -> DeploymarkError:
        size = _DECIMAL.fullmatch(answer.body)
        if size is None:
            return WitnessUnavailableError(
                f"The witness {self._name} named no size: {answer.quoted()}."
            )
        return WitnessBehindError(
            f"The witness {self._name} stands at size {size[1]}.", size=int(size[1])
        )


def _parse_url(url: str, *, allow_plain_http: bool) -> tuple[str, int, str, bool]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not the URL of a witness: {error}.") from error
    odd = parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in {"http", "https"} or not host or odd or not _VISIBLE.fullmatch(url):
        raise UsageError(
            f"{url!r} is not the URL of a witness.",
            hint="Name its submission prefix, like https://witness.example/prefix.",
        )
    secure = parts.scheme == "https"
    if not secure and not allow_plain_http and not _is_loopback(host):
        raise UsageError(
            f"The witness {url!r} is not on this host, and http is not protected.",
            hint="Use https, or allow plain http for this witness explicitly.",
        )
    return host, port or (443 if secure else 80), parts.path.rstrip("/") + _PATH, secure


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _inconsistent(name: str, answer: _Answer) -> DeploymarkError:
    return WitnessRefusedError(
        f"The witness {name} says that this log has forked ({answer.status}): {answer.quoted()}."
    )


def _misconfigured(name: str, answer: _Answer) -> DeploymarkError:
    return WitnessConfigurationError(
        f"The witness {name} does not take checkpoints of this log ({answer.status}): "
        f"{answer.quoted()}."
    )


def _redirected(name: str, answer: _Answer) -> DeploymarkError:
    return WitnessConfigurationError(
        f"The witness {name} redirects ({answer.status}), and redirects are not followed.",
        hint="Name the URL at which the witness really is.",
    )


def _other(name: str, answer: _Answer) -> DeploymarkError:
    return WitnessUnavailableError(
        f"The witness {name} answered with status {answer.status}: {answer.quoted()}."
    )


_REFUSALS: Final = MappingProxyType[int, Callable[[str, _Answer], DeploymarkError]](
    {
        **dict.fromkeys((301, 302, 303, 307, 308), _redirected),
        **dict.fromkeys((400, 401, 403, 404, 405, 410, 413), _misconfigured),
        **dict.fromkeys((409, 422), _inconsistent),
    }
)
"""What a status says; any other one is a witness that cannot answer now."""
