"""What `deploymark doctor --data` looks at on the machine of a server: its files and settings.

Reads what `up` would read and changes nothing; works beside a running server.
"""

import shutil
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from deploymark.cli.checkup import Remark, advice, fine, wrong
from deploymark.errors import DeploymarkError
from deploymark.log.policy import NONE
from deploymark.log.steps import counted
from deploymark.runtime.access import list_tokens
from deploymark.runtime.actuators import missing_programs
from deploymark.runtime.checking import faults_of
from deploymark.runtime.compose import log_keys, read_policy, remembered_guard
from deploymark.runtime.config import Configuration
from deploymark.runtime.data_directory import DataDirectory
from deploymark.runtime.serve import parse_listen
from deploymark.storage.sqlite import SqliteLogReader

_OPEN_TO_OTHERS: Final = 0o077
_FREE_BYTES: Final = 1_000_000_000
_LOCAL_ORIGIN: Final = "deploymark.local/"
_LOOPBACK: Final = ("127.", "localhost", "[::1]")


class Home(NamedTuple):
    """Where a server lives.

    Attributes:
        data: Its directory.
        configuration: The effective one.
        origins: Where each value comes from, by `section.name`; what is missing is the default.
    """

    data: DataDirectory
    configuration: Configuration
    origins: dict[str, str]


def origins_of(file: Path | None, listen: str) -> dict[str, str]:
    """Return where the values of a configuration come from.

    Args:
        file: The configuration file, which can be read.
        listen: Who says the address over it; "" when nobody does.
    """
    content: dict[str, Any] = {}
    if file is not None:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    found = {name: str(file) for name in _names(content)}
    return {**found, **({"server.listen": listen} if listen else {})}


def _names(table: dict[Any, Any], place: str = "") -> Iterator[str]:
    for name, value in table.items():
        yield f"{place}{name}"
        parts = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(parts, dict):
            yield from _names(parts, f"{place}{name}.")


def configuration(home: Home) -> Iterator[Remark]:
    """Say every value, and where it comes from."""
    for section in home.configuration.__struct_fields__:
        yield from _values(home, section, getattr(home.configuration, section))


def _values(home: Home, full: str, value: object) -> Iterator[Remark]:
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _values(home, f"{full}.{name}", getattr(value, name))
        return
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _values(home, f"{full}.{name}", part)
        return
    if isinstance(value, tuple) and any(map(_shows_parts, value)):
        for place, part in enumerate(value):
            yield from _values(home, f"{full}.{place}", part)
        return
    shown = ", ".join(map(str, value)) or "none" if isinstance(value, tuple | dict) else value
    yield fine(f"{full} = {shown!r} ({home.origins.get(full, 'default')})")


def _shows_parts(value: object) -> bool:
    """Whether it is shown part by part; what has words of its own keeps its secrets with them."""
    return isinstance(value, Struct) and type(value).__repr__ is Struct.__repr__


def start(home: Home) -> Iterator[Remark]:
    """Say with what of the configuration `up` would refuse to start."""
    found = 0
    for error in _refusals(home):
        found += 1
        named = error.field and not error.message.startswith(error.field)
        place = f"{error.field}: " if named else ""
        yield wrong(f"The server would not start: {place}{error.message}", error.hint)
    if not found:
        yield fine("nothing that is configured keeps the server from starting")


def _refusals(home: Home) -> Iterator[DeploymarkError]:
    try:
        parse_listen(home.configuration.server.listen)
    except DeploymarkError as error:
        yield error
    yield from faults_of(home.configuration)


def actuators(home: Home) -> Iterator[Remark]:
    """Say which programs of actuators cannot be run on this machine."""
    for (service, environment), plan in home.configuration.plans.items():
        for program in missing_programs(plan.actuator):
            yield wrong(
                f"The program {program} of the actuator of {service} in {environment} cannot be "
                "run here.",
                "Put it there and make it executable, or correct its path in the configuration.",
            )


def exposure(home: Home) -> Iterator[Remark]:
    """Say what strangers may see and say."""
    said = home.configuration
    here = said.server.listen.startswith(_LOOPBACK)
    if not here and not said.server.url.startswith("https://"):
        yield advice(
            f"{said.server.listen} is open to the network, and nothing there is encrypted.",
            "Put a proxy with TLS before it, listen on 127.0.0.1, and set server.url.",
        )
    if said.server.url and said.server.metrics == "loopback":
        yield advice(
            "Behind a proxy on this machine everybody may read /metrics.",
            'Set server.metrics to "reader", or keep the proxy from passing it on.',
        )
    if said.policy.anonymous_environments:
        names = ", ".join(said.policy.anonymous_environments)
        yield advice(
            f"Anybody may say anything about these environments: {names}.",
            "Empty policy.anonymous_environments once every emitter has a token.",
        )
    if said.log.access == "public":
        yield advice(
            "Anybody who reaches the server may read every entry.",
            'Set log.access to "hashes" unless the log is meant for the public.',
        )


def files(home: Home) -> Iterator[Remark]:
    """Say whether the directory is whole, and for its owner only."""
    try:
        home.data.check_exists()
    except DeploymarkError as error:
        yield wrong(error.message, error.hint)
        return
    for path in (home.data.path, *sorted(home.data.log_key.parent.glob("*.pem"))):
        if stat.S_IMODE(path.stat().st_mode) & _OPEN_TO_OTHERS:
            yield wrong(f"{path} is open to other users.", f"Run `chmod go-rwx {path}`.")
    if not home.data.platform_key.exists():
        yield wrong(
            f"{home.data.platform_key} is missing; the server cannot sign what it says itself.",
            "Restore keys/ from the backup.",
        )
    free = shutil.disk_usage(home.data.path).free
    if free < _FREE_BYTES:
        yield advice(f"{free // 1_000_000} MB are left on its disk.", "Make room.")
    yield fine(f"{home.data.path}, {free // 1_000_000_000} GB free")


def guard(home: Home) -> Iterator[Remark]:
    """Say whether the log would be recognised if it were an old copy."""
    if not home.data.database.exists():
        return
    if not home.data.guard.exists():
        yield wrong(
            f"The rollback guard {home.data.guard} is missing; the server will not start.",
            "If this is the newest copy of the log: `deploymark log recover --accept`.",
        )
        return
    try:
        check = remembered_guard(home.data.path)
        reader = SqliteLogReader(home.data.database, pinned=True)
        try:
            faults = check(reader)
        finally:
            reader.close()
    except DeploymarkError as error:
        yield wrong(error.message, error.hint)
        return
    for fault in faults:
        yield wrong(fault, "See docs/runbooks/rolled-back before anything else.")
    if not faults:
        yield fine(f"{home.data.guard} agrees; keep it out of the backup of {home.data.path}")


def trust(home: Home) -> Iterator[Remark]:
    """Say what verifiers rely on."""
    try:
        policy = read_policy(home.data)
    except DeploymarkError:
        return  # `files` says so
    name = log_keys(policy)[0].name
    if name.startswith(_LOCAL_ORIGIN):
        yield advice(
            f"The log is called {name}, which says nothing to others, and never changes.",
            "Before the first real entry: `deploymark log init --origin log.example.com/team`.",
        )
    if policy.quorum == NONE:
        yield advice(
            "Verifiers demand no witness: whoever holds the log's key could show two histories.",
            "`deploymark log witness add` names one, on another machine.",
        )
    else:
        yield fine(
            f"{counted(len(policy.witnesses), 'witness', 'witnesses')}, quorum {policy.quorum}"
        )


def tokens(home: Home) -> Iterator[Remark]:
    """Say who may do everything."""
    if not home.data.state.exists():
        return
    try:
        live = [each for each in list_tokens(home.data.path) if each["is_live"]]
    except DeploymarkError as error:
        yield wrong(error.message, error.hint)
        return
    admins = [each["name"] for each in live if "admin" in each["roles"]]
    endless = [each["name"] for each in live if each["expires_at"] is None]
    yield fine(f"{len(live)} live, of administrators: {', '.join(admins) or 'none'}")
    if endless:
        yield advice(
            f"These never end by themselves: {', '.join(endless)}.",
            "Make them anew with --lifetime, such as 90d.",
        )


CHECKS: Final = (
    ("configuration", configuration),
    ("start", start),
    ("actuators", actuators),
    ("exposure", exposure),
    ("files", files),
    ("guard", guard),
    ("trust", trust),
    ("tokens", tokens),
)
