"""What the emitter was told, as one frozen value.

`read_settings` turns environment variables into it and reads none itself (`host`). It opens no
key and checks no URL: a wrong one must not keep a marker from being spooled.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

DEFAULT_URL: Final = "http://127.0.0.1:8420"
"""Where `deploymark up` listens unless told otherwise."""

_YES: Final = frozenset({"1", "true", "yes", "on"})


class JobIdentity(NamedTuple):
    """What proves who this CI job is, to whoever trusts its issuer; the first that is there counts.

    Attributes:
        text: The identity token itself.
        file: The file that holds it.
        request_url: Where GitHub Actions gives it to its jobs.
        request_token: What a job shows there.
        audience: For whom it shall be, where that can be asked for; the server's URL when empty.
    """

    text: str = ""
    file: str = ""
    request_url: str = ""
    request_token: str = ""
    audience: str = ""

    @property
    def origin(self) -> str:
        """Where it comes from, for people; "" when it comes from nowhere."""
        if self.text:
            return "DEPLOYMARK_ID_TOKEN"
        if self.file:
            return self.file
        return "GitHub Actions" if self.request_url and self.request_token else ""

    def __repr__(self) -> str:
        """Show where it comes from, not what it is."""
        return f"JobIdentity({self.origin!r}, audience={self.audience!r})"


class Settings(NamedTuple):
    """Where markers go, who signs them, and what emitting may cost.

    Attributes:
        url: The server, without `/v1`.
        token: Sent as `Authorization: Bearer …`; "" sends none.
        key: Path or `file:` URI of a PEM key that signs; "" leaves markers unsigned.
        passphrase: Opens a locked key file.
        spool: Directory that keeps markers until they are delivered.
        budget_seconds: How long a command, or the end of the process, waits for delivery.
        spool_max_bytes: Size of the spool at which markers are given up, the least important
            first.
        request_seconds: How long one request may take in all.
        allow_plain_http: Send token and markers unencrypted to other hosts than this one.
        proxy: URL of an HTTP proxy for https servers, or "".
        no_proxy: Hosts and domains that are reached without it, separated by commas.
        identity: What to exchange for a token; None where that was not asked for, or a token given.
    """

    url: str = DEFAULT_URL
    token: str = ""
    key: str = ""
    passphrase: str | None = None
    spool: str = ""
    budget_seconds: float = 2.0
    spool_max_bytes: int = 64_000_000
    request_seconds: float = 10.0
    allow_plain_http: bool = False
    proxy: str = ""
    no_proxy: str = ""
    identity: JobIdentity | None = None

    def __repr__(self) -> str:
        """Show where, not with what: settings end up in log lines."""
        token = "given" if self.token else "none" if self.identity is None else "exchanged"
        return f"Settings(url={self.url!r}, token={token}, key={self.key!r}, spool={self.spool!r})"


def read_settings(variables: Mapping[str, str], user: int) -> Settings:
    """Return the settings that an environment describes.

    Args:
        variables: Environment variables; an empty one counts as absent.
        user: Number of the user, for the spool in the temporary directory.
    """
    given = {name: value for name, value in variables.items() if value}
    return Settings(
        url=given.get("DEPLOYMARK_URL", DEFAULT_URL),
        token=given.get("DEPLOYMARK_TOKEN", "").strip(),
        key=given.get("DEPLOYMARK_KEY", ""),
        passphrase=given.get("DEPLOYMARK_KEY_PASSPHRASE"),
        spool=_spool(given, user),
        allow_plain_http=given.get("DEPLOYMARK_ALLOW_PLAIN_HTTP", "").lower() in _YES,
        proxy=given.get("HTTPS_PROXY") or given.get("https_proxy", ""),
        no_proxy=given.get("NO_PROXY") or given.get("no_proxy", ""),
        identity=_identity(given),
    )


def _identity(given: Mapping[str, str]) -> JobIdentity | None:
    wanted = given.get("DEPLOYMARK_OIDC", "").lower() in _YES
    # Whoever gives a token as well is on the way from one to the other, and it still works.
    if not wanted or given.get("DEPLOYMARK_TOKEN", "").strip():
        return None
    return JobIdentity(
        text=given.get("DEPLOYMARK_ID_TOKEN", "").strip(),
        file=given.get("DEPLOYMARK_ID_TOKEN_FILE", ""),
        request_url=given.get("ACTIONS_ID_TOKEN_REQUEST_URL", ""),
        request_token=given.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", ""),
        audience=given.get("DEPLOYMARK_OIDC_AUDIENCE", ""),
    )


def _spool(given: Mapping[str, str], user: int) -> str:
    if (named := given.get("DEPLOYMARK_SPOOL")) is not None:
        return named
    state, home = given.get("XDG_STATE_HOME", ""), given.get("HOME", "")
    # The XDG specification tells us to ignore relative paths.
    if state.startswith("/"):
        return f"{state.rstrip('/')}/deploymark/spool"
    if home.startswith("/") and home != "/":
        return f"{home.rstrip('/')}/.local/state/deploymark/spool"
    return f"{given.get('TMPDIR', '/tmp').rstrip('/')}/deploymark-spool-{user}"  # noqa: S108 - the spool refuses a directory that is not ours
