"""Flags that several commands share."""

import argparse
from pathlib import Path

from deploymark.crypto.signer import open_key_file, signer_from_uri
from deploymark.errors import UsageError
from deploymark.ports import EnvelopeSigner
from deploymark.runtime.config import Environment, read_environment


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="answer in JSON, one object a line")


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


def passphrase(options: argparse.Namespace) -> str | None:
    """Return the passphrase that a command line or the environment gives.

    Raises:
        UsageError: The file cannot be read or is empty.
    """
    environment: Environment = read_environment()
    file: Path | None = options.passphrase_file
    if file is None:
        return environment.passphrase
    first = read_text(file).partition("\n")[0]
    if not first:
        raise UsageError(f"The passphrase file {file} is empty.")
    return first


def open_signer(name: str, secret: str | None) -> EnvelopeSigner:
    """Return the signer that a user named by a URI, or by the plain path of a key file."""
    if ":" in name:
        return signer_from_uri(name, secret)
    return open_key_file(name, secret)


def read_text(file: Path) -> str:
    """Return the text of a file that the user named; UsageError when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text.") from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}.", hint="Check its name and permissions."
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write a new file that the user named; UsageError when it exists or cannot be written."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UsageError(f"{file} exists already.") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from error
