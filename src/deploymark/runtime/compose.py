"""Opens a log with everything that belongs to it: the only place that picks adapters.

`open_log` is the start of a writing process, as numbered steps; `open_reader` is for commands
that only look. Both leave the directory as it is when they refuse.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyfile import load_private
from deploymark.crypto.keyring import AsOf, KeyRing
from deploymark.crypto.note import VerifierKey
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.errors import (
    DataDirectoryError,
    DeploymarkError,
    KeyFileError,
    LogBrokenError,
    UnavailableError,
)
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.authority import EntryAuthority, catch_up
from deploymark.ingest.key_entries import registration
from deploymark.ingest.receive import Receiver
from deploymark.ingest.registry import Registry
from deploymark.log.guard import check_guard
from deploymark.log.policy import Policy, parse_policy
from deploymark.log.publisher import Publisher
from deploymark.log.reader import LogView
from deploymark.log.sequencer import Acknowledgement, Outcome, Sequencer
from deploymark.model.entries import Scope
from deploymark.model.leaf import decode_leaf
from deploymark.model.vocabulary import KEY
from deploymark.ports import LogReader, PublishedCheckpoint, Witness
from deploymark.runtime.data_directory import (
    DataDirectory,
    create_log,
    drafted,
    log_signer,
    publishing_signer,
)
from deploymark.runtime.system import ProcessMeter, ServerClock, SystemClock
from deploymark.storage.guard_file import FileRollbackGuard
from deploymark.storage.memory_guard import MemoryRollbackGuard
from deploymark.storage.memory_registry import MemoryRegistryStore
from deploymark.storage.sqlite import SqliteLogReader, SqliteLogStore
from deploymark.storage.sqlite.registry import SqliteRegistryStore
from deploymark.storage.sqlite.state import StateFile

KEY_ENTRIES = "e-key-"
ANY = ("*",)


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log that this process may write to.

    Attributes:
        data: Where its files lie.
        policy: Its own trust policy: keys, witnesses, quorum.
        store: Where its rows are kept.
        view: Proofs, receipts and tiles.
        ring: The keys registered in it.
        registry: The deployments in it.
        state: The file of operational state.
        receiver: Admits envelopes.
        publisher: Publishes checkpoints.
        meter: Counts what this process does with it.
        clock: Tells the time to all who work on it.
        listeners: Told the new size after every commit, in the writer's thread.
    """

    data: DataDirectory
    policy: Policy
    store: SqliteLogStore
    view: LogView
    ring: KeyRing
    registry: Registry
    state: StateFile
    receiver: Receiver
    publisher: Publisher
    meter: ProcessMeter
    clock: ServerClock
    listeners: list[Callable[[int], None]]


def read_policy(data: DataDirectory) -> Policy:
    """Read the log's own policy file."""
    try:
        return parse_policy(data.policy.read_bytes())
    except OSError as error:
        raise DataDirectoryError(f"{data.policy} cannot be read: {error.strerror}.") from error


def log_keys(policy: Policy) -> list[VerifierKey]:
    """Return the verifier keys of the logs that a policy lists."""
    return [line.key for line in policy.logs]


def replay_keys(reader: LogReader) -> KeyRing:
    """Return the keys of a log as of its newest entry, from its key entries alone."""
    ring = KeyRing()
    for index in reader.indexes(KEY_ENTRIES):
        leaf = reader.entry(index).leaf
        if leaf is None:
            raise LogBrokenError(f"The key entry {index} has lost its body.")
        ring.apply(index, decode_leaf(leaf))
    return ring


def exported_keys(reader: LogReader) -> bytes:
    """Return the file of keys for verifiers, which says of how much of which log it speaks."""
    ring, head = replay_keys(reader), reader.head()
    ring.as_of = AsOf(head.origin, head.size)
    return ring.export()


def witnesses_of(policy: Policy) -> list[Witness]:
    """Return a client for every witness of a policy that has a URL."""
    from deploymark.integrations.witness_http import HttpWitness  # noqa: PLC0415 - rarely needed

    return [HttpWitness(str(line.key), line.url) for line in policy.witnesses.values() if line.url]


def remembered_guard(path: Path) -> Callable[[LogReader], tuple[str, ...]]:
    """Read the rollback guard now, and return a check of a snapshot taken later.

    In this order a writer at work does no harm: the log only moves on from what was remembered.
    """
    data = DataDirectory(path)
    data.check_exists()
    guard = FileRollbackGuard(data.guard)
    try:
        remembered = guard.read()
        fault: tuple[str, ...] = ()
    except DeploymarkError as error:
        remembered, fault = None, (error.message,)

    def check(reader: LogReader) -> tuple[str, ...]:
        kept = MemoryRollbackGuard()
        if remembered is not None:
            kept.write(*remembered)
        try:
            if not fault:
                check_guard(LogView(reader), kept)
        except DeploymarkError as error:
            return (error.message,)
        return fault

    return check


@contextmanager
def open_reader(path: Path) -> Iterator[tuple[DataDirectory, SqliteLogReader]]:
    """Open a log to look at one commit of it; works beside a writer.

    Raises:
        DataDirectoryError: There is no complete data directory.
    """
    data = DataDirectory(path)
    data.check_exists()
    reader = SqliteLogReader(data.database, pinned=True)
    try:
        yield data, reader
    finally:
        reader.close()


@contextmanager
def open_log(
    path: Path,
    passphrase: str | None = None,
    *,
    on_broken: Callable[[DeploymarkError], None] = lambda _: None,
    rules: AdmissionRules | None = None,
    clock: ServerClock | None = None,
) -> Iterator[OpenLog]:
    """Open a log to write to it.

    Args:
        path: The data directory.
        passphrase: Unlocks the private keys.
        on_broken: Called once when the log stops adding up.
        rules: What is admitted at all.
        clock: Tells the time; the machine's own when left out.

    Raises:
        DataDirectoryError: A file is missing, or the guard is.
        LogBusyError: Another process writes it.
        LogBrokenError, RolledBackError: It does not add up, or is an old copy.
        KeyFileError: A private key cannot be used.
    """
    data = DataDirectory(path)
    with ExitStack() as stack:
        # 1. Everything that belongs to it is there; nothing is created in place of a lost file.
        data.check_exists()
        policy = read_policy(data)
        # 2. We are the only writer.
        store = SqliteLogStore(data.database)
        stack.callback(store.close)
        head = store.head()
        # 3. Our keys are the ones that the policy tells verifiers to trust.
        signer = log_signer(data, head.origin, passphrase)
        publishing = publishing_signer(data, head.origin, passphrase)
        _check_keys(policy, (signer.vkey, publishing.vkey))
        # 4. The log is not older than what it has published.
        view = LogView(store)
        guard = FileRollbackGuard(data.guard)
        check_guard(view, guard)
        # 5. The keys of producers, as the log itself says.
        ring = replay_keys(store)
        # 6. The deployments, as the log says too: what the registry missed is folded in.
        state = StateFile(data.state)
        stack.callback(state.close)
        registry = Registry(SqliteRegistryStore(state))
        catch_up(registry, store)
        # 7. The writer, which checks that the head follows from its own frontier.
        listeners: list[Callable[[int], None]] = []
        authority = EntryAuthority(ring, registry, store)
        sequencer = Sequencer(store, signer, authority, on_broken, partial(_tell, listeners))
        stack.callback(_flush, registry)
        stack.callback(sequencer.close)
        clock, meter = clock or SystemClock(), ProcessMeter()
        gateway = platform_signer(data, passphrase) if data.platform_key.exists() else None
        receiver = Receiver(sequencer, store, ring, clock, gateway=gateway, rules=rules)
        stack.callback(receiver.close)
        publisher = Publisher(store, publishing, guard, witnesses_of(policy), clock, meter)
        yield OpenLog(
            *(data, policy, store, view, ring, registry, state, receiver, publisher),
            *(meter, clock, listeners),
        )


def _tell(listeners: Sequence[Callable[[int], None]], size: int) -> None:
    for listener in listeners:
        listener(size)


def _flush(registry: Registry) -> None:
    """Keep what the registry knows; what is not kept is folded again at the next start."""
    with suppress(UnavailableError):
        registry.flush()


def _check_keys(policy: Policy, own: Sequence[str]) -> None:
    listed = {str(key) for key in log_keys(policy)}
    for vkey in own:
        if vkey not in listed:
            name = vkey.partition("+")[0]
            raise DataDirectoryError(
                f"A private key of the log {name} is not the one that its policy lists.",
                hint="Restore keys/ and policy from the same backup.",
            )


def platform_signer(data: DataDirectory, passphrase: str | None) -> Ed25519EnvelopeSigner:
    """Load the platform's key; KeyFileError when it is not an Ed25519 key."""
    key = load_private(data.platform_key, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{data.platform_key} is not an Ed25519 key.")
    return Ed25519EnvelopeSigner(key)


def init_log(path: Path, origin: str, passphrase: str | None = None) -> PublishedCheckpoint:
    """Create a log whose first entry registers the platform's key, and publish it.

    Args:
        path: The data directory; absent or empty.
        origin: The log's name for ever: a schemeless URL, or `default_origin()`.
        passphrase: Encrypts the private keys when given.

    Raises:
        DataDirectoryError: Something is there already.
        NoteError: The origin cannot be a key name.
    """
    with drafted(path) as draft:
        signer = create_log(draft, origin, passphrase)
        store = SqliteLogStore(draft.database)
        ring = KeyRing()
        registry = Registry(MemoryRegistryStore())
        sequencer = Sequencer(store, signer, EntryAuthority(ring, registry, store))
        receiver = Receiver(sequencer, store, ring, SystemClock())
        try:
            platform = platform_signer(draft, passphrase)
            everything = Scope(services=ANY, environments=ANY, entries=ANY)
            payload = registration(platform.public, "platform", everything, SystemClock().now_ms())
            expect(receiver.receive([sign_envelope(KEY, payload, [platform])]))
        finally:
            receiver.close()
            sequencer.close()
            store.close()
    with open_log(path, passphrase) as log:
        return log.publisher.publish()


def expect(outcomes: Sequence[Outcome]) -> list[Acknowledgement]:
    """Return the acknowledgements; raise the first refusal."""
    for outcome in outcomes:
        if isinstance(outcome, DeploymarkError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Acknowledgement)]
