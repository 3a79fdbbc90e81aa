"""What `deploymark doctor` looks at of a server, as far as the token lets it."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Final

from deploymark.cli.checkup import Remark, advice, fine, wrong
from deploymark.cli.client import Answer, Client
from deploymark.cli.noise import doubled, unfinished
from deploymark.emit.host import Host
from deploymark.errors import DeploymarkError
from deploymark.log.steps import counted
from deploymark.model.instants import parse_instant

DAY_MS: Final = 86_400_000

_LOOKED_AT: Final = 1_000
_ENOUGH: Final = 10
_TOKEN_DAYS: Final = 14
_CERTIFICATE_DAYS: Final = 21
_CLOCK_SECONDS: Final = 5
_CLOCK_WRONG_SECONDS: Final = 60
_SECONDS: Final = 5.0


class Server:
    """A server that is looked at; asks each question once.

    Args:
        client: Asks it.
        host: Tells the time.
    """

    def __init__(self, client: Client, host: Host) -> None:
        self.client = client
        self.host = host

    @cached_property
    def session(self) -> Answer | DeploymarkError:
        """Who the server takes us for, or why it does not tell."""
        try:
            return self.client.get("/v1/session")
        except DeploymarkError as error:
            return error

    @property
    def roles(self) -> frozenset[str]:
        """What our token may do."""
        session = self.session
        return frozenset() if isinstance(session, DeploymarkError) else frozenset(session["roles"])

    @property
    def may_read(self) -> bool:
        """Whether our token may look at markers."""
        return not self.roles.isdisjoint({"reader", "operator", "admin"})

    @cached_property
    def markers(self) -> Sequence[dict[str, Any]]:
        """The newest markers, newest first; none without the right to read."""
        if not self.may_read:
            return ()
        items: list[dict[str, Any]] = self.client.get("/v1/markers", {"limit": _LOOKED_AT})["items"]
        return items


def session(server: Server) -> Iterator[Remark]:
    """Say whether the server answers, and who we are to it."""
    found = server.session
    if isinstance(found, DeploymarkError):
        yield wrong(found.message, found.hint)
        return
    roles = ", ".join(found["roles"]) or "none"
    yield fine(f"{server.client.shown} knows us as {found['principal']}, roles: {roles}")
    if "admin" in found["roles"]:
        yield advice(
            "This token may do everything.",
            "Deploy jobs need the role emitter only: `deploymark tokens new ci --role emitter`.",
        )


def token(server: Server) -> Iterator[Remark]:
    """Say which tokens end soon: of an administrator all, else our own."""
    now_ms = server.host.now_ms()
    found = server.session
    if isinstance(found, DeploymarkError):
        return
    tokens = [{"name": "this token", **found}]
    if "admin" in server.roles:
        tokens = server.client.get("/v1/tokens")["items"]
    for each in tokens:
        ends, revoked = each.get("expires_at"), each.get("revoked_at")
        left_ms = parse_instant(ends) - now_ms if ends and not revoked else None
        if left_ms is not None and 0 < left_ms < _TOKEN_DAYS * DAY_MS:
            yield advice(
                f"{each['name']} ends at {ends}, in {counted(left_ms // DAY_MS, 'day')}.",
                "Make a new one with `deploymark tokens new` and hand it over before.",
            )


def clock(server: Server) -> Iterator[Remark]:
    """Say how far our clock and the server's are apart."""
    try:
        with server.client.opened("GET", "/healthz", accept="text/plain") as answer:
            date = answer.getheader("Date") or ""
    except DeploymarkError:
        return
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    apart = abs(server.host.now_ms() / 1000 - theirs)
    if apart < _CLOCK_SECONDS:
        yield fine("ours and the server's agree")
        return
    hint = "Let both keep time by NTP; markers claim the time of the host that emits them."
    say = wrong if apart > _CLOCK_WRONG_SECONDS else advice
    yield say(f"Ours and the server's are {apart:.0f} seconds apart.", hint)


def certificate(server: Server) -> Iterator[Remark]:
    """Say when the server's certificate ends."""
    place = server.client.secured
    if place is None:
        return
    try:
        context = ssl.create_default_context()
        with (
            socket.create_connection(place, _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=place[0]) as secured,
        ):
            ends = (secured.getpeercert() or {}).get("notAfter")
    except OSError:
        return  # `session` says so
    days = (ssl.cert_time_to_seconds(str(ends)) * 1000 - server.host.now_ms()) // DAY_MS
    if days < _CERTIFICATE_DAYS:
        yield advice(
            f"The server's certificate ends in {counted(days, 'day')}.",
            "Renew it, or mend what renews it.",
        )
    else:
        yield fine(f"ends in {counted(days, 'day')}")


def witnesses(server: Server) -> Iterator[Remark]:
    """Say whether anybody but the operator watches the log."""
    try:
        policy = server.client.text("/log/policy")
    except DeploymarkError:
        return
    names = [line.split()[1] for line in policy.splitlines() if line.startswith("witness ")]
    if names:
        yield fine(f"the log is witnessed by {', '.join(names)}")
    else:
        yield advice(
            "The log has no witness: whoever holds its key could show two histories.",
            "`deploymark log witness add` names one, on another machine.",
        )


def emission(server: Server) -> Iterator[Remark]:
    """Say how markers are signed, and which of them tell nothing new."""
    if isinstance(server.session, DeploymarkError):
        return
    if not server.may_read:
        yield fine("not looked at: this token may not read markers")
        return
    markers = server.markers
    if not markers:
        yield fine("none has come yet")
        return
    unsigned = sum(each["assurance"] != "signed" for each in markers)
    if unsigned:
        yield advice(
            f"{unsigned} of the last {counted(len(markers), 'marker')} "
            f"{'is not signed by its' if unsigned == 1 else 'are not signed by their'} producer.",
            "Where an environment's `action_assurance` is signed, nothing is done on these by "
            "itself: `deploymark keys new`, then DEPLOYMARK_KEY.",
        )
    noisy = [*doubled(markers), *unfinished(markers, server.host.now_ms())]
    for sentence in noisy[:_ENOUGH]:
        yield advice(
            sentence,
            "Let one system mark an event, and mark deploys rather than pushes.",
        )
    if not (unsigned or noisy):
        yield fine(f"signed, and no noise: {counted(len(markers), 'marker')} that came last")


CHECKS: Final = (
    ("server", session),
    ("token", token),
    ("clock", clock),
    ("certificate", certificate),
    ("witnesses", witnesses),
    ("markers", emission),
)
