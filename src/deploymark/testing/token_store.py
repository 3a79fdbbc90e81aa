"""The suite of the port `TokenStore`."""

import threading
from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import SessionRecord, TokenRecord, TokenStore

_NOW = 1_795_000_000_000
_MOST = 3
_RACERS = 8


def exercise_token_store(make: Callable[[], TokenStore]) -> None:
    """Run every check on fresh stores.

    Args:
        make: Returns an empty store in a new place each time.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _is_empty_at_first,
        _returns_a_token_as_it_was_kept,
        _lists_by_time_then_id,
        _keeps_an_id_once,
        _keeps_a_name_once_among_the_living,
        _frees_the_name_of_the_dead,
        _ends_a_token_once,
        _does_not_end_what_never_was,
        _returns_a_session_as_it_was_kept,
        _moves_the_end_of_a_session_only_away,
        _forgets_a_session,
        _keeps_the_newest_sessions_of_a_token,
        _forgets_sessions_that_have_ended,
        _ends_the_sessions_of_a_revoked_token,
        _lets_one_racer_have_the_name,
        _forgets_what_ended_of_its_kind,
    ):
        check(make())


def _forgets_what_ended_of_its_kind(store: TokenStore) -> None:
    kept = [
        _token(1, expires_at_ms=_NOW - 1),
        _token(2, created_by="oidc:gitlab:a", expires_at_ms=_NOW - 1),
        _token(3, created_by="oidc:git%:a", expires_at_ms=_NOW),
        _token(4, created_by="oidc:git%:a"),
    ]
    gone = _token(5, created_by="oidc:git%:a", expires_at_ms=_NOW - 1)
    for token in (*kept, gone):
        assert store.add(token)
    store.open_session(_session(1, kept[0].id), _MOST)
    store.open_session(_session(2, gone.id), _MOST)
    store.forget("oidc:git%:", _NOW)
    assert store.all() == kept
    assert store.find_session(_session(1).cookie_hash) is not None
    assert store.find_session(_session(2).cookie_hash) is None


def _token(number: int, **changes: object) -> TokenRecord:
    token = TokenRecord(
        id=f"{number:012}",
        name=f"token-{number}",
        secret_hash=sha256(b"%d" % number).digest(),
        roles=frozenset({Role.READER}),
        scope=None,
        created_at_ms=_NOW,
        created_by="local",
    )
    return replace(token, **changes)


def _session(number: int, token_id: str = "0" * 12) -> SessionRecord:
    return SessionRecord(sha256(b"%d" % number).digest(), token_id, _NOW, _NOW + 1000 * number)


def _is_empty_at_first(store: TokenStore) -> None:
    assert store.all() == []
    assert store.find("0" * 12) is None
    assert store.find_session(bytes(32)) is None


def _returns_a_token_as_it_was_kept(store: TokenStore) -> None:
    scope = Scope(("shop-*", 'l\'og "\u2014" \U0001f33b'), ("*",), phases=("applied",))
    tokens = [
        _token(1),
        _token(2, roles=frozenset(Role), created_by="", expires_at_ms=2**53),
        _token(3, roles=frozenset({Role.EMITTER, Role.READER}), scope=scope),
        _token(4, revoked_at_ms=_NOW + 1, revoked_by="token:root", secret_hash=bytes(32)),
    ]
    for token in tokens:
        assert store.add(token)
    assert store.all() == tokens
    assert [store.find(token.id) for token in tokens] == tokens


def _lists_by_time_then_id(store: TokenStore) -> None:
    tokens = [
        _token(3, created_at_ms=_NOW - 1),
        _token(1),
        _token(2),
        _token(0, created_at_ms=_NOW + 1),
    ]
    for token in reversed(tokens):
        assert store.add(token)
    assert store.all() == tokens


def _keeps_an_id_once(store: TokenStore) -> None:
    assert store.add(_token(1))
    assert not store.add(_token(1, name="other"))
    assert store.revoke(_token(1).id, _NOW, "local")
    assert not store.add(_token(1, name="other"))
    assert [token.name for token in store.all()] == ["token-1"]


def _keeps_a_name_once_among_the_living(store: TokenStore) -> None:
    assert store.add(_token(1, name="ci"))
    assert not store.add(_token(2, name="ci"))
    assert store.add(_token(3, name="CI"))
    assert store.add(_token(4, name="deploy", expires_at_ms=_NOW + 10))
    assert not store.add(_token(5, name="deploy", created_at_ms=_NOW + 9))
    assert store.find(_token(2).id) is None


def _frees_the_name_of_the_dead(store: TokenStore) -> None:
    assert store.add(_token(1, name="ci", expires_at_ms=_NOW + 10))
    assert store.add(_token(2, name="ci", created_at_ms=_NOW + 10))
    assert store.revoke(_token(2).id, _NOW + 11, "local")
    assert store.add(_token(3, name="ci", created_at_ms=_NOW + 12))


def _ends_a_token_once(store: TokenStore) -> None:
    assert store.add(_token(1))
    assert store.add(_token(2))
    assert store.revoke(_token(1).id, _NOW + 5, "token:root")
    assert not store.revoke(_token(1).id, _NOW + 6, "token:other")
    assert store.all() == [
        _token(1, revoked_at_ms=_NOW + 5, revoked_by="token:root"),
        _token(2),
    ]


def _does_not_end_what_never_was(store: TokenStore) -> None:
    assert not store.revoke("0" * 12, _NOW, "local")
    assert store.all() == []


def _returns_a_session_as_it_was_kept(store: TokenStore) -> None:
    for number in (1, 2):
        store.open_session(_session(number), _MOST)
    assert store.find_session(_session(1).cookie_hash) == _session(1)
    assert store.find_session(_session(2).cookie_hash) == _session(2)


def _moves_the_end_of_a_session_only_away(store: TokenStore) -> None:
    session = _session(1)
    store.open_session(session, _MOST)
    for ends_at_ms in (_NOW + 9000, _NOW + 5000):
        store.extend_session(session.cookie_hash, ends_at_ms)
        assert store.find_session(session.cookie_hash) == replace(session, ends_at_ms=_NOW + 9000)
    store.extend_session(bytes(32), _NOW + 9000)
    assert store.find_session(bytes(32)) is None


def _forgets_a_session(store: TokenStore) -> None:
    for number in (1, 2):
        store.open_session(_session(number), _MOST)
    for _again in range(2):
        store.drop_session(_session(1).cookie_hash)
        assert store.find_session(_session(1).cookie_hash) is None
    assert store.find_session(_session(2).cookie_hash) == _session(2)


def _keeps_the_newest_sessions_of_a_token(store: TokenStore) -> None:
    other = _session(1, _token(1).id)
    store.open_session(other, _MOST)
    for number in range(2, _MOST + 4):
        store.open_session(replace(_session(number), opened_at_ms=_NOW + number), _MOST)
    alive = [
        number
        for number in range(2, _MOST + 4)
        if store.find_session(_session(number).cookie_hash) is not None
    ]
    assert alive == list(range(4, _MOST + 4))
    assert store.find_session(other.cookie_hash) == other


def _forgets_sessions_that_have_ended(store: TokenStore) -> None:
    for number in (1, 2, 3):
        store.open_session(_session(number), _MOST)
    store.expire_sessions(_session(2).ends_at_ms)
    found = [store.find_session(_session(number).cookie_hash) for number in (1, 2, 3)]
    assert found == [None, None, _session(3)]


def _ends_the_sessions_of_a_revoked_token(store: TokenStore) -> None:
    assert store.add(_token(1))
    store.open_session(_session(1, _token(1).id), _MOST)
    store.open_session(_session(2, _token(2).id), _MOST)
    assert store.revoke(_token(1).id, _NOW, "local")
    assert store.find_session(_session(1).cookie_hash) is None
    assert store.find_session(_session(2).cookie_hash) == _session(2, _token(2).id)


def _lets_one_racer_have_the_name(store: TokenStore) -> None:
    kept: list[int] = []
    ended: list[int] = []
    start = threading.Barrier(_RACERS)

    def race(number: int) -> None:
        start.wait()
        if store.add(_token(number, name="ci")):
            kept.append(number)
        start.wait()
        if store.revoke(_token(kept[0]).id, _NOW + number, f"racer-{number}"):
            ended.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(_RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == len(ended) == 1
    assert store.all() == [
        _token(kept[0], name="ci", revoked_at_ms=_NOW + ended[0], revoked_by=f"racer-{ended[0]}")
    ]
