"""Where markers are posted to: the server's URL, taken apart and found safe; pure."""

import re
from typing import Final, NamedTuple

from deploymark.emit.settings import Settings
from deploymark.errors import UsageError

_PATH: Final = "/v1/markers"
_LOOPBACK: Final = r"127(\.[0-9]{1,3}){3}"
# Not urllib.parse: loading it costs a command 2 ms.
_URL: Final = (
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ip6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-\"$->@-~]*)?"  # visible, without # and ?
)
_MAX_PORT: Final = 65_535
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80
_MAX_SHOWN: Final = 200


class Endpoint(NamedTuple):
    """A server that takes markers.

    Attributes:
        server: Its host and port.
        path: Where it takes markers.
        secure: Whether it speaks TLS.
        proxy: Host and port of the proxy to go through, or None.
        proxy_login: Value of `Proxy-Authorization`, or "".
        shown: The URL, for messages.
    """

    server: tuple[str, int]
    path: str
    secure: bool
    proxy: tuple[str, int] | None
    proxy_login: str
    shown: str

    @property
    def reached(self) -> tuple[bytes, int]:
        """Host and port to connect to."""
        host, port = self.proxy or self.server
        # As bytes: text makes Python load its tables of international names, which takes 4 ms.
        return host.encode("ascii"), port

    @property
    def authority(self) -> str:
        """Host and port as text."""
        host, port = self.server
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def name(self) -> str:
        """The authority, without the port where that is the usual one of the scheme."""
        return self.authority.removesuffix(f":{_usual_port(secure=self.secure)}")


def parse_endpoint(settings: Settings) -> Endpoint:
    """Return where the settings send markers.

    Raises:
        UsageError: No URL of a server, or one that would show the token to everybody on the way.
    """
    url = settings.url
    found = re.fullmatch(_URL, url)
    if found is None or int(found["port"] or 0) > _MAX_PORT:
        raise UsageError(
            # What stands before an @ may be a password.
            "What DEPLOYMARK_URL or the flag names is not the URL of a server."
            if "@" in url
            else f"{url!r} is not the URL of a server.",
            hint="Let DEPLOYMARK_URL or the flag be like https://deploymark.example.com; the "
            "token is DEPLOYMARK_TOKEN.",
        )
    host = (found["name"] or found["ip6"]).lower()
    secure = found["scheme"].lower() == "https"
    if not (secure or settings.allow_plain_http or _is_loopback(host)):
        raise UsageError(
            f"The server {url!r} is not on this host, and http shows token and markers to "
            "everybody on the way.",
            hint="Use https, or set DEPLOYMARK_ALLOW_PLAIN_HTTP=1 in a network you trust.",
        )
    proxy, login = proxy_of(settings, host) if secure else (None, "")
    path = (found["path"] or "").rstrip("/") + _PATH
    server = (host, int(found["port"] or 0) or _usual_port(secure=secure))
    return Endpoint(server, path, secure, proxy, login, url)


def server_of(url: str) -> str:
    """Return the one spelling of a server's URL by which the spool tells servers apart.

    One that is no URL gives a text that no server has; what stands before an @ may be a password.

    Args:
        url: As it was given.
    """
    found = re.fullmatch(_URL, url)
    if found is None:
        return f"{url.rpartition('@')[2][:_MAX_SHOWN]} (not a URL)"
    scheme, port = found["scheme"].lower(), int(found["port"] or 0)
    host = found["name"] or f"[{found['ip6']}]"
    usual = port in (0, _usual_port(secure=scheme == "https"))
    path = (found["path"] or "").rstrip("/")
    return f"{scheme}://{host.lower()}{'' if usual else f':{port}'}{path}"


def proxy_of(settings: Settings, host: str) -> tuple[tuple[str, int] | None, str]:
    """Return the proxy to a host that is reached by https, and the login at it; None for none.

    Raises:
        UsageError: HTTPS_PROXY names none.
    """
    if not settings.proxy or _bypasses(settings.no_proxy, host):
        return None, ""
    # A proxy is rare, and its URL is of every kind: password, percent signs, no scheme.
    from base64 import b64encode  # noqa: PLC0415
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415

    text = settings.proxy if "://" in settings.proxy else f"http://{settings.proxy}"
    try:
        parts = urlsplit(text)
        name, port = parts.hostname if parts.scheme == "http" else None, parts.port
    except ValueError:
        raise _no_proxy() from None
    if not name or not name.isascii():
        raise _no_proxy()
    login = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + b64encode(pair.encode()).decode()
    return (name, port or _HTTP_PORT), login


def _no_proxy() -> UsageError:
    # Its text is not shown: it may hold a password.
    return UsageError(
        "HTTPS_PROXY is not the URL of an HTTP proxy.",
        hint="Name it like http://proxy.example.com:3128, or the server in NO_PROXY.",
    )


def _bypasses(no_proxy: str, host: str) -> bool:
    """Read NO_PROXY as everybody does: names and their subdomains, `*` for all."""
    if _is_loopback(host):
        return True
    for entry in no_proxy.lower().split(","):
        name = entry.strip().lstrip(".")
        if name == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
    return False


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or re.fullmatch(_LOOPBACK, host) is not None


def _usual_port(*, secure: bool) -> int:
    return _HTTPS_PORT if secure else _HTTP_PORT
