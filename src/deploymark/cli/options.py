"""What commands about keys and logs share: their flags, and what these name."""

import argparse
from pathlib import Path

from deploymark.cli.flags import add_json
from deploymark.cli.output import shortened
from deploymark.crypto.signer import open_key_file, signer_from_uri
from deploymark.errors import DataDirectoryError, LogBrokenError, NoteError, UsageError
from deploymark.log.export import Export
from deploymark.ports import EnvelopeSigner
from deploymark.runtime.config import Environment, read_environment

MAX_FILE_BYTES = 256 << 20

_MAX_PASSPHRASE_BYTES = 1_023  # what OpenSSL takes
_MAX_NAME_BYTES = 255  # its length is one byte in a cosignature (c2sp.org/tlog-cosignature)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data` and `--json`: every command that opens a log has both."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the log's data directory (default: DEPLOYMARK_DATA, else ./deploymark-data)",
    )
    add_json(parser)


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add `--passphrase-file`."""
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file whose first line unlocks the private keys "
        "(default: DEPLOYMARK_KEY_PASSPHRASE, else the keys are not encrypted)",
    )


def data_directory(options: argparse.Namespace) -> Path:
    """Return the data directory that a command line means."""
    given: Path | None = options.data
    return given or read_environment().data


def log_on_this_machine(options: argparse.Namespace) -> Path:
    """Return the data directory of a command that only reads a log, and asks no server.

    Raises:
        DataDirectoryError: There is none. To make one would not bring what is to be read.
    """
    directory = data_directory(options)
    if not directory.exists():
        raise DataDirectoryError(
            f"There is no data directory {directory}.",
            hint="This command reads the log's files, on the machine of its server, and asks no "
            "DEPLOYMARK_URL. Name their directory with --data or DEPLOYMARK_DATA; `deploymark up` "
            "says at its start where it is.",
        )
    return directory


def own_log(options: argparse.Namespace) -> Path:
    """Return the data directory of a command that can ask a server instead, with `--url`.

    Raises:
        DataDirectoryError: There is none, and whoever has set DEPLOYMARK_URL may have meant that.
    """
    directory = data_directory(options)
    if not directory.exists():
        raise DataDirectoryError(
            f"There is no data directory {directory}.",
            hint='Name it with --data, or ask a running server: `--url "$DEPLOYMARK_URL"`.',
        )
    return directory


def passphrase(options: argparse.Namespace) -> str | None:
    """Return the passphrase that a command line or the environment gives.

    Raises:
        UsageError: The file cannot be read or is empty, or a key cannot be locked by so much.
    """
    environment: Environment = read_environment()
    file: Path | None = options.passphrase_file
    if file is None:
        return _checked_passphrase(environment.passphrase, "DEPLOYMARK_KEY_PASSPHRASE")
    first = read_text(file).partition("\n")[0]
    if not first:
        raise UsageError(
            f"The first line of the passphrase file {file} is empty.",
            hint="Write the passphrase into its first line.",
        )
    return _checked_passphrase(first, f"The first line of {file}")


def _checked_passphrase(text: str | None, name: str) -> str | None:
    if text is not None and len(text.encode(errors="surrogateescape")) > _MAX_PASSPHRASE_BYTES:
        raise UsageError(
            f"{name} has more than {_MAX_PASSPHRASE_BYTES} bytes.",
            hint="Check that it is a passphrase and not a key.",
        )
    return text


def open_signer(name: str, secret: str | None) -> EnvelopeSigner:
    """Return the signer that a user named by a URI, or by the plain path of a key file."""
    if "\n" in name or "-----BEGIN" in name:
        raise UsageError(
            "A key is named by the path of its file; here is something else, which is not shown.",
            hint="Write the key to a file of mode 0600 and name that file.",
        )
    if ":" in name:
        return signer_from_uri(name, secret)
    return open_key_file(name, secret)


def check_key_name(name: str) -> None:
    """Refuse a name of a log or witness that its ML-DSA-44 key could not sign under."""
    if len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
        raise UsageError(
            f"{shortened(name)!r} has more than {_MAX_NAME_BYTES} bytes.",
            hint="Choose a shorter name; signatures of checkpoints carry it.",
        )


def read_text(file: Path) -> str:
    """Return the text of a file that the user named; UsageError when it cannot be read."""
    try:
        return read_bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not UTF-8 text.", hint="Check that it is the file you mean."
        ) from error


def read_bytes(file: Path) -> bytes:
    """Return the content of a file that the user named; UsageError when it cannot be read."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise unreadable(file, error) from error
    if len(content) > MAX_FILE_BYTES:  # /dev/zero has no end
        raise UsageError(
            f"{file} has more than {MAX_FILE_BYTES >> 20} MB.", hint="Split it into smaller files."
        )
    return content


def unreadable(file: Path, error: OSError) -> UsageError:
    """Return the refusal of a file that the user named and that cannot be read."""
    return UsageError(
        f"{file} cannot be read: {error.strerror}.", hint="Check its name and permissions."
    )


def open_export(path: Path) -> Export:
    """Open the export that the user named.

    Raises:
        NotFoundError: There is none.
        LogBrokenError: Its checkpoint is malformed: the answer is no, not a matter of usage.
    """
    try:
        return Export(path)
    except NoteError as error:
        raise LogBrokenError(
            f"The checkpoint of the export {path} is malformed: {error.message}",
            hint="Fetch the export again; if it is the same again, ask whoever serves it.",
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write a new file that the user named; UsageError when it exists or cannot be written."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{file} exists already.", hint="Choose another name; nothing is overwritten."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}.", hint="Check its folder and permissions."
        ) from error
