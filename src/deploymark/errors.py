"""Everything that can go wrong, as one tree.

An error answers two questions for whoever meets it, a person or a program: *may I try again?*
(`retryable`) and *what now?* (`hint`). Its `code` is stable and the same in the HTTP problem, the
log line and the metric label. Three families:

* `Refused`: what was given is wrong; trying the same again is useless.
* `Unavailable`: a part is away or full; the same call may succeed later.
* `Broken`: the log does not add up. Stop and page; nothing repairs this by itself.

This module sits at the bottom of the house and imports nothing of it.
"""

from typing import ClassVar

CONFIGURATION_HINT = "docs/reference/configuration.md describes every setting."


class DeploymarkError(Exception):
    """Something went wrong; every other problem is a kind of this one."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        """Say what went wrong.

        Args:
            message: One sentence that names what was wrong and what was seen.
            hint: What the reader can do now; the class's own hint when left out.
            field: JSON Pointer (RFC 6901) to the part of the input that was refused, or "".
        """
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.field = field


class RefusedError(DeploymarkError):
    """The input is wrong: the same input will be refused again."""

    code = "refused"


class UnavailableError(DeploymarkError):
    """A part this depends on is away, full or busy: the same call may succeed later."""

    code = "unavailable"
    retryable = True
    default_hint = "Try again; nothing of this call was kept."


class BrokenError(DeploymarkError):
    """Stored bytes do not add up: stop, page a person, keep the evidence."""

    code = "broken"
    default_hint = "Run `deploymark log fsck` on a copy and keep the original as evidence."


# Refused: model ----------------------------------------------------------------------------------


class CanonicalError(RefusedError):
    """A value has no RFC 8785 form: NaN, infinity, an integer beyond 2**53, a lone surrogate."""

    code = "not_canonical"
    default_hint = "Send the number as a string, or leave the value out."


class InstantError(RefusedError):
    """A timestamp is not RFC 3339 in UTC."""

    code = "bad_timestamp"
    default_hint = "Write timestamps like 2026-11-23T00:00:00.000Z."


class IdError(RefusedError):
    """An id does not follow the grammar of its kind."""

    code = "bad_id"
    default_hint = "Ids are lower-case letters, digits, '-', '_' and '.', at most 63 characters."


class MarkerError(RefusedError):
    """A marker or another entry breaks its schema; `field` points at the place."""

    code = "bad_marker"
    default_hint = "`deploymark schema check FILE` explains every problem of a marker file."


class TooLargeError(RefusedError):
    """A field, a payload or a list is larger than its limit."""

    code = "too_large"
    default_hint = "Shorten it, or store it with /v1/details and send its digest."


class SchemaVersionError(RefusedError):
    """The schema version is not one this release can read."""

    code = "unknown_schema_version"
    default_hint = "Upgrade deploymark; released versions stay readable for ever."


class SecretRefusedError(RefusedError):
    """A field holds what looks like a password, a token or a key; it was not kept."""

    code = "secret_refused"
    default_hint = (
        "Take it out and replace it where it is valid: it has left its safe place. "
        "Name a secret by its version, never by its value."
    )


class PersonalDataRefusedError(RefusedError):
    """A field holds an e-mail address or a phone number, which could never be erased again."""

    code = "personal_data_refused"
    default_hint = (
        "Name people by their handle; send text about people to /v1/details, "
        "which can erase it, and put its digest into the marker."
    )


# Refused: crypto ---------------------------------------------------------------------------------


class EnvelopeError(RefusedError):
    """A DSSE envelope or in-toto Statement is malformed."""

    code = "bad_envelope"
    default_hint = "Send a DSSE 1.0 envelope: payload, payloadType, signatures[{keyid, sig}]."


class SignatureError(RefusedError):
    """A signature does not verify with the key it names."""

    code = "bad_signature"
    default_hint = "Sign the exact bytes that are sent, with the key that `keyid` names."


class UnsignedRefusedError(RefusedError):
    """Nobody stands behind it: no producer's signature, and no caller who is known."""

    code = "marker_unsigned"
    default_hint = (
        "Send `Authorization: Bearer <token>`, or sign the marker with a registered producer key."
    )


class NoteError(RefusedError):
    """A signed note, verifier key or checkpoint is malformed, or no trusted key signed it."""

    code = "bad_note"
    default_hint = (
        "Copy keys and checkpoints byte for byte; the name of a key is one word without '+'."
    )


class KeyFileError(RefusedError):
    """A key file is missing, unreadable, open to others, or locked and no passphrase opens it."""

    code = "bad_key_file"
    default_hint = "Key files are PEM (PKCS #8), readable by their owner only (chmod 600)."


class KeyUntrustedError(RefusedError):
    """The key is not registered, already revoked, or not allowed to say this at this index."""

    code = "key_untrusted"
    default_hint = "`deploymark keys ls` shows keys and scopes; `deploymark keys trust` adds one."


# Refused: log ------------------------------------------------------------------------------------


class ProofError(RefusedError):
    """An inclusion or consistency proof, or a receipt, does not verify."""

    code = "bad_proof"
    default_hint = "Fetch the receipt again; if it fails again, show it to whoever runs the log."


class PolicyError(RefusedError):
    """A tlog-policy file is malformed, or a checkpoint does not satisfy it."""

    code = "bad_policy"
    default_hint = "`deploymark log policy` prints the policy of a log; see c2sp.org/tlog-policy."


class ConflictError(RefusedError):
    """Another entry stands under this id with other significant content.

    The first one stands. Significant is what tells changes apart, such as service, version, commit
    and digest; descriptive fields that differ are no conflict.
    """

    code = "marker_conflict"
    default_hint = (
        "The first stands. If this is another change, give it another `action`, version or digest; "
        "a wrong first entry is corrected by a signed `amendment` (docs/formats/marker.md)."
    )

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        field: str = "",
        index: int | None = None,
        leaves: tuple[bytes, bytes] | None = None,
    ) -> None:
        """Say also what stands.

        Args:
            message: As everywhere.
            hint: As everywhere.
            field: As everywhere.
            index: Where it stands; None when no entry is in the way but a rule.
            leaves: What stands and what was sent, when both are known.
        """
        super().__init__(message, hint=hint, field=field)
        self.index = index
        self.leaves = leaves


class NotFoundError(RefusedError):
    """Nothing is stored under this name, index or digest."""

    code = "not_found"
    default_hint = "Check the name, index or digest; `deploymark log checkpoint` shows the size."


class WitnessConfigurationError(RefusedError):
    """A witness does not know this log or its key, or is not one under this URL.

    Its operator or that of this log must act.
    """

    code = "witness_misconfigured"
    default_hint = (
        "Give the witness's operator the log's verifier keys, and check the witness's URL."
    )


class ReleaseError(RefusedError):
    """A release directory is absent, empty, or holds more than files, folders and links."""

    code = "bad_release"
    default_hint = "Name the directory that the service runs from, as it will be deployed."


class DataDirectoryError(RefusedError):
    """The data directory is absent, not empty, incomplete or of a newer release."""

    code = "bad_data_directory"
    default_hint = "Name the directory with --data, or restore it whole from a backup."


class QueryError(RefusedError):
    """A search asks for what cannot be: an unknown word, a bad limit, a cursor of another query."""

    code = "bad_query"
    default_hint = "Name filters and values as the reference of search lists them."


class JudgeError(RefusedError):
    """A plan or a look that the judge cannot take: settings, counts or order make no sense."""

    code = "bad_judge_input"
    default_hint = "docs/reference/judge.md says what a plan and a look hold."


class ActionRefusedError(RefusedError):
    """A guard, a policy or the state of the rollout does not let the action through."""

    code = "action_refused"
    default_hint = "The reasons say what does not hold; an operator may break the glass."


class StaleActionError(RefusedError):
    """The action was chosen on what was known earlier; more is known now."""

    code = "stale_action"
    default_hint = "Look at the rollout again, then act with its newest index."


class ActuatorRefusedError(RefusedError):
    """An actuator did nothing, and would refuse the same order again."""

    code = "actuator_refused"
    default_hint = "Correct what the message names, in the plan or where the actuator acts."


class OutcomeUnknownError(RefusedError):
    """An actuator was asked and nobody knows what came of it: it is not asked again by itself."""

    code = "outcome_unknown"
    default_hint = "Look at what runs, then say which it is by acting again."


class NotifierRefusedError(RefusedError):
    """Whoever tells people refuses an alert, and would refuse it again."""

    code = "notifier_refused"
    default_hint = "Correct the address or the secret of the notifier in the configuration."


class UsageError(RefusedError):
    """The command line or configuration is wrong."""

    code = "usage"
    default_hint = "Add --help to see what the command takes."

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        """Say what is wrong; what has a `field` stands in a configuration, not on a command line.

        Args:
            message: As everywhere.
            hint: As everywhere.
            field: As everywhere.
        """
        if field and hint in ("", self.default_hint):
            hint = CONFIGURATION_HINT
        super().__init__(message, hint=hint, field=field)


class ExtraMissingError(RefusedError):
    """The command needs an optional part of the distribution that is not installed."""

    code = "extra_missing"


# Refused: requests -------------------------------------------------------------------------------


class RequestError(RefusedError):
    """The HTTP request is malformed: its head, a parameter, its encoding or its framing."""

    code = "bad_request"
    default_hint = "GET /openapi.json says what each operation takes."


class BodyError(RefusedError):
    """The body of a request is JSON of another shape than the operation takes."""

    code = "bad_body"
    default_hint = "GET /openapi.json shows the schema of the body."


class DialectError(RefusedError):
    """A request in another system's dialect does not say what its translation needs."""

    code = "bad_dialect_request"
    default_hint = "docs/reference/dialects.md lists what each dialect takes."


class MethodError(RefusedError):
    """The address does not take this method; the header `Allow` names those that it takes."""

    code = "method_not_allowed"
    default_hint = "Use a method that the header Allow names."


class NotAcceptableError(RefusedError):
    """The client accepts none of the media types in which this can be answered."""

    code = "not_acceptable"
    default_hint = "Send `Accept: */*`, or name the media type that /openapi.json lists."


class MediaTypeError(RefusedError):
    """The body's Content-Type or Content-Encoding is not one that the operation takes."""

    code = "unsupported_media_type"
    default_hint = "Send application/json, plain or with Content-Encoding: gzip."


class HostError(RefusedError):
    """The Host header is not a name of this server.

    A web page on another name may be trying to reach it through a visitor's browser.
    """

    code = "unknown_host"
    default_hint = "Use an address of this server, or add the name to server.hosts."


# Refused: callers --------------------------------------------------------------------------------


class UnauthenticatedError(RefusedError):
    """Nobody known stands behind the request: its token or session is absent, wrong or ended."""

    code = "unauthenticated"
    default_hint = (
        "Send `Authorization: Bearer <token>`, as our commands do with DEPLOYMARK_TOKEN; an "
        "administrator makes one: `deploymark tokens new NAME --role …`."
    )


class IdentityRefusedError(UnauthenticatedError):
    """An identity token was not exchanged: it is not valid, or no rule trusts whom it names."""

    code = "identity_refused"
    default_hint = (
        "Compare issuer, audience, subject and claims of the token with the server's [oidc] rules; "
        "docs/howto/ci-without-secrets.md shows both."
    )


class ForbiddenError(RefusedError):
    """The caller is known, and may not do or say this."""

    code = "forbidden"
    default_hint = "Ask an administrator for a token with the role or scope that this needs."


class TokenError(RefusedError):
    """A token cannot be made or ended as asked."""

    code = "bad_token"
    default_hint = "A token has a name, roles and, for an emitter alone, a scope."


# Unavailable -------------------------------------------------------------------------------------


class StoreUnavailableError(UnavailableError):
    """The store refused a read or write: the disk is full or fails, or the database is away.

    Nothing was acknowledged.
    """

    code = "store_unavailable"
    default_hint = "Free disk space or repair the disk, then try again; nothing was acknowledged."


class ViewsBuildingError(StoreUnavailableError):
    """The views are being built from the log, as after a first start; nothing is wrong."""

    code = "views_building"
    default_hint = "Try again in a moment."


class MeasuresCountingError(UnavailableError):
    """The measures of the last week are being counted for the first time since the start."""

    code = "measures_counting"
    default_hint = "Try again in a moment; counting goes on meanwhile."


class LogBusyError(UnavailableError):
    """Another process writes this log, or its queue is full."""

    code = "log_busy"
    default_hint = "One process writes a log at a time; stop the other one or send to it."


class ServerUnavailableError(UnavailableError):
    """The server does not answer, or what answers is no deploymark."""

    code = "server_unavailable"
    default_hint = "Is `deploymark up` running, and does DEPLOYMARK_URL or --url name it?"


class IssuerUnavailableError(UnavailableError):
    """The keys of an issuer of identity tokens cannot be had now; the token may be good."""

    code = "issuer_unavailable"
    default_hint = (
        "Try again; whoever runs the server can give the keys in a file (oidc.*.jwks_file)."
    )


class CountsUnavailableError(UnavailableError):
    """A source of counts does not answer; that says nothing about the release."""

    code = "counts_unavailable"
    default_hint = "The look goes without it; the verdict stays open until it answers."


class ActuatorUnavailableError(UnavailableError):
    """An actuator could not be asked; it did nothing."""

    code = "actuator_unavailable"
    default_hint = "It is tried again; a person is told when it lasts."

    def __init__(
        self, message: str, *, hint: str = "", field: str = "", wait_seconds: float | None = None
    ) -> None:
        """Say also how long it asks to be left alone, None when it does not say."""
        super().__init__(message, hint=hint, field=field)
        self.wait_seconds = wait_seconds


class FleetUnavailableError(UnavailableError):
    """A process of the local fleet does not start, or does not answer."""

    code = "fleet_unavailable"
    default_hint = "What it printed says why; end the fleet and start it again."


class NotifierUnavailableError(UnavailableError):
    """Whoever tells people did not answer; some alerts may have come."""

    code = "notifier_unavailable"
    default_hint = "All of them are handed over again."


class ObservationError(UnavailableError):
    """An observer cannot look at what runs; that says nothing about what runs."""

    code = "not_observed"
    default_hint = "Run the observer where the processes are visible, as a user who may see them."


class NotPublishedError(UnavailableError):
    """The entry stands in the log, and no published checkpoint covers it yet."""

    code = "not_published"
    default_hint = "The server publishes every second while the log grows: ask again."


class WitnessBehindError(UnavailableError):
    """The witness stands at another size than was assumed."""

    code = "witness_behind"
    default_hint = "The next attempt starts from the size that the witness named."

    def __init__(self, message: str, *, size: int) -> None:
        """Say also at which size it stands, from which the next proof starts."""
        super().__init__(message)
        self.size = size


class WitnessUnavailableError(UnavailableError):
    """A witness did not answer, or answered that it cannot now."""

    code = "witness_unavailable"
    default_hint = (
        "Publishing goes on without its cosignature and asks again at the next checkpoint."
    )


class SlowRequestError(UnavailableError):
    """The body of a request did not arrive in time."""

    code = "request_timeout"
    default_hint = "Try again, with a smaller batch where the line is slow."


class ViewsBehindError(UnavailableError):
    """The views have not seen yet what the question wants them to have seen."""

    code = "views_behind"
    default_hint = "Ask again, or leave `after` out for what is known now."


class TooManyStreamsError(UnavailableError):
    """As many clients follow the stream as this server carries."""

    code = "too_many_streams"
    default_hint = "Try again later, or close streams that nobody reads."


class UnexpectedError(UnavailableError):
    """Something went wrong that nobody foresaw; the log of the server tells what."""

    code = "unexpected"
    default_hint = "Give the incident number to whoever runs the server."


class RateLimitedError(UnavailableError):
    """Too many requests or failed attempts; Retry-After says when to come back."""

    code = "rate_limited"
    default_hint = "Wait as long as Retry-After says; send several markers in one request."

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        """Say also after how many seconds the same call may succeed."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyFailuresError(RateLimitedError):
    """Too many failed attempts to authenticate from one network; a good token is still good."""

    code = "too_many_failures"
    default_hint = "Correct the token; a good one is let in without waiting."


class OverloadedError(UnavailableError):
    """The bodies of all requests together take as much memory as they may."""

    code = "overloaded"
    default_hint = "Try again as Retry-After says, with less at once."


# Broken ------------------------------------------------------------------------------------------


class LogBrokenError(BrokenError):
    """The stored log contradicts itself: a hash, signature, count or column does not follow."""

    code = "log_broken"


class RolledBackError(BrokenError):
    """The log is behind or beside what it published: an old backup, or a rewritten database."""

    code = "log_rolled_back"
    default_hint = "Restore the newer data, or run `deploymark log recover --from EXPORT`."


class WitnessRefusedError(BrokenError):
    """A witness says that this checkpoint is inconsistent with one it has already cosigned."""

    code = "witness_refused"
    default_hint = (
        "The log has forked from what the witness saw: stop writing and compare with an export."
    )


class StateBrokenError(BrokenError):
    """The file of operational state is damaged; the log is not touched by that."""

    code = "state_broken"
    default_hint = (
        "Restore state.db from the newest backup. Without one, move it away: tokens are issued "
        "again, and the rest follows from the log or is repeated."
    )
