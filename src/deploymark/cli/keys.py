"""`deploymark keys`: producer keys, and what the log says about them.

The log is the one in `--data`, or with `--url` that of a running server.
"""

import argparse
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from deploymark.cli.flags import add_json
from deploymark.cli.numbers import entry_index
from deploymark.cli.options import (
    add_data,
    add_passphrase,
    data_directory,
    open_signer,
    own_log,
    passphrase,
)
from deploymark.cli.output import Output
from deploymark.cli.served_keys import ServedKeys
from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyfile import (
    KeyAlgorithm,
    generate_key,
    load_public,
    save_private,
    save_public,
)
from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.registration import RegisteredKey
from deploymark.errors import KeyFileError, LogBusyError, UsageError
from deploymark.ingest.key_entries import ALGORITHM, registration, revocation, rotation
from deploymark.log.steps import counted
from deploymark.model.entries import Scope
from deploymark.model.ids import key_id
from deploymark.model.vocabulary import KEY
from deploymark.ports import EnvelopeSigner
from deploymark.runtime.compose import (
    expect,
    exported_keys,
    open_log,
    open_reader,
    platform_signer,
)
from deploymark.runtime.data_directory import DataDirectory
from deploymark.runtime.system import SystemClock

PUBLIC_SUFFIX = ".pub"
_SCOPE_FLAGS = {
    "service": "services",
    "environment": "environments",
    "kind": "kinds",
    "phase": "phases",
    "entry": "entries",
}


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark keys` and its subcommands."""
    parser = commands.add_parser("keys", help=sentence)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    new = actions.add_parser("new", help="make a producer key on this machine")
    new.add_argument("file", type=Path, help="private key file; the public one gets .pub added")
    add_passphrase(new)
    add_json(new)
    new.set_defaults(run=_new)

    trust = actions.add_parser("trust", help="register a public key in the log")
    trust.add_argument("public", type=Path, help="the .pub file")
    trust.add_argument("--name", help="label for people (default: the file's name)")
    for flag, what in _SCOPE_FLAGS.items():
        trust.add_argument(
            f"--{flag}",
            action="append",
            metavar="GLOB",
            help=f"{what} it may speak for; * is special; may be repeated (default: "
            f"{'marker' if flag == 'entry' else '*'})",
        )
    _changes_the_log(trust, _trust)

    rotate = actions.add_parser("rotate", help="replace a key; the new one inherits its scope")
    rotate.add_argument("old", help="id of the key that ends")
    rotate.add_argument("public", type=Path, help="the new .pub file")
    rotate.add_argument("--name", help="label for people (default: the old one)")
    _changes_the_log(rotate, _rotate)

    revoke = actions.add_parser("revoke", help="end a key")
    revoke.add_argument("key", help="id of the key")
    revoke.add_argument(
        "--distrust-from",
        type=entry_index,
        metavar="INDEX",
        help="also distrust what it signed from this entry on (a stolen key)",
    )
    _changes_the_log(revoke, _revoke)

    listing = actions.add_parser("ls", help="list the keys of the log")
    listing.add_argument(
        "--export", action="store_true", help="print the file that `verify --keys` reads"
    )
    add_data(listing)
    _add_url(listing)
    listing.set_defaults(run=_ls)


def _changes_the_log(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument("--reason", default="", help="why, for the auditor")
    parser.add_argument(
        "--by", metavar="KEY", help="administrator's key that signs this (default: the platform's)"
    )
    add_data(parser)
    _add_url(parser)
    add_passphrase(parser)
    parser.set_defaults(run=run)


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="a running server, instead of the log's files in --data")


def _new(options: argparse.Namespace, output: Output) -> int:
    file: Path = options.file
    if not file.name:
        raise UsageError(f"{file} is a directory.", hint="Name a new file in it.")
    public_file = file.with_name(file.name + PUBLIC_SUFFIX)
    if public_file.exists():
        raise KeyFileError(f"{public_file} exists already.", hint="Choose another name.")
    key = generate_key(KeyAlgorithm.ED25519)
    save_private(file, key, passphrase(options))
    public = key.public_key()
    save_public(public_file, public)
    if not isinstance(key, Ed25519PrivateKey):  # narrows the type; generate_key keeps its word
        raise KeyFileError(f"{file} is not an Ed25519 key.")
    identity = key_id(ALGORITHM, key.public_key().public_bytes_raw())
    output.say(
        f"Made the key {identity}.\n"
        f"  private  {file}, for the producer only\n"
        f"  public   {public_file}, register it: deploymark keys trust {public_file}",
        {"key_id": identity, "private": file, "public": public_file},
    )
    return 0


def _public(file: Path) -> bytes:
    key = load_public(file)
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{file} is not an Ed25519 key; producers sign with Ed25519.")
    return key.public_bytes_raw()


def _trust(options: argparse.Namespace, output: Output) -> int:
    public = _public(options.public)
    name = options.name or options.public.name.removesuffix(PUBLIC_SUFFIX)
    given = {
        field: tuple(globs)
        for flag, field in _SCOPE_FLAGS.items()
        if (globs := getattr(options, flag)) is not None
    }
    everywhere: dict[str, tuple[str, ...]] = {"services": ("*",), "environments": ("*",)}
    scope = Scope(**{**everywhere, **given})
    payload = registration(public, name, scope, SystemClock().now_ms(), options.reason)
    return _append(payload, key_id(ALGORITHM, public), "Registered", options, output)


def _rotate(options: argparse.Namespace, output: Output) -> int:
    public = _public(options.public)
    payload = rotation(
        options.old, public, options.name or "", SystemClock().now_ms(), reason=options.reason
    )
    return _append(payload, key_id(ALGORITHM, public), "Rotated to", options, output)


def _revoke(options: argparse.Namespace, output: Output) -> int:
    payload = revocation(
        options.key,
        SystemClock().now_ms(),
        distrust_from=options.distrust_from,
        reason=options.reason,
    )
    return _append(payload, options.key, "Revoked", options, output)


def _append(
    payload: bytes, identity: str, done: str, options: argparse.Namespace, output: Output
) -> int:
    index = _append_to_file(payload, options) if options.url is None else _hand_in(payload, options)
    output.say(f"{done} {identity} in entry {index}.", {"key_id": identity, "index": index})
    return 0


def _append_to_file(payload: bytes, options: argparse.Namespace) -> int:
    secret = passphrase(options)
    try:
        with open_log(own_log(options), secret) as log:
            _check_distrust(options, log.store.head().size)
            signer = _administrator(options.by, log.data, secret)
            envelope = sign_envelope(KEY, payload, [signer])
            (acknowledgement,) = expect(log.receiver.receive([envelope]))
            log.publisher.publish()
    except LogBusyError as error:
        raise LogBusyError(
            error.message, hint="If it is a server, add --url and where it answers."
        ) from error
    return acknowledgement.index


def _hand_in(payload: bytes, options: argparse.Namespace) -> int:
    secret = passphrase(options)
    data = DataDirectory(data_directory(options))
    if options.by is None and not data.platform_key.exists():
        raise UsageError(
            f"The platform's key is not in {data.path}, so it cannot sign this.",
            hint="Name the data directory with --data, or an administrator's key with --by.",
        )
    signer = _administrator(options.by, data, secret)
    served = ServedKeys(options.url)
    if getattr(options, "distrust_from", None) is not None:
        _check_distrust(options, served.size())
    return int(served.append(sign_envelope(KEY, payload, [signer]))["index"])


def _check_distrust(options: argparse.Namespace, size: int | None) -> None:
    """Refuse to distrust from an entry that is not there: it would take no trust away."""
    first: int | None = getattr(options, "distrust_from", None)
    if first is not None and size is not None and first > size:
        raise UsageError(
            f"--distrust-from {first} is beyond the log, which has "
            f"{counted(size, 'entry', 'entries')}.",
            hint="Name the first entry that is not believed; leave the flag out if there is none.",
        )


def _administrator(name: str | None, data: DataDirectory, secret: str | None) -> EnvelopeSigner:
    return platform_signer(data, secret) if name is None else open_signer(name, secret)


def _may_sign(key: RegisteredKey) -> str:
    """Return the range of entries that a key may sign; open while the key stands."""
    first = key.from_index + 1
    if key.end_index is None:
        return f"{first}-"
    return f"{first}-{key.end_index - 1}" if key.end_index > first else "nothing"


def _ring(options: argparse.Namespace) -> KeyRing:
    if options.url is not None:
        return ServedKeys(options.url).ring()
    with open_reader(own_log(options)) as (_, reader):
        return KeyRing.load(exported_keys(reader))


def _ls(options: argparse.Namespace, output: Output) -> int:
    ring = _ring(options)
    if options.export:
        output.raw(ring.export().decode("utf-8"))
        return 0
    rows = [
        (
            key.key_id,
            key.name,
            _may_sign(key),
            ",".join(key.scope.entries),
            ",".join(key.scope.services),
            ",".join(key.scope.environments),
        )
        for key in ring.keys()  # noqa: SIM118 - a ring is not a dict
    ]
    output.table(("key_id", "name", "may_sign", "entries", "services", "environments"), rows)
    return 0
