"""What the process was told from outside: the only module that reads the environment.

Flags win over the environment. Sections of a configuration file arrive with the server.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA = Path("deploymark-data")


@dataclass(frozen=True, slots=True)
class Environment:
    """Values of `DEPLOYMARK_*` environment variables.

    Attributes:
        data: Data directory of this machine's log (`DEPLOYMARK_DATA`).
        key: Producer key to sign with, a path or URI (`DEPLOYMARK_KEY`).
        passphrase: Unlocks encrypted key files (`DEPLOYMARK_KEY_PASSPHRASE`).
    """

    data: Path = DEFAULT_DATA
    key: str | None = None
    passphrase: str | None = None


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read the environment once.

    Args:
        variables: What to read instead of the process's own environment.
    """
    given = os.environ if variables is None else variables
    return Environment(
        data=Path(given.get("DEPLOYMARK_DATA") or DEFAULT_DATA),
        key=given.get("DEPLOYMARK_KEY") or None,
        passphrase=given.get("DEPLOYMARK_KEY_PASSPHRASE") or None,
    )
