-- Tokens and sessions in state.db, version 1 of the adapter `tokens`.
-- Only hashes of secrets stand here. Times are milliseconds since the Unix epoch.

CREATE TABLE IF NOT EXISTS token (
  id          TEXT    PRIMARY KEY CHECK (length(id) = 12),
  name        TEXT    NOT NULL,
  secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
  roles       TEXT    NOT NULL,  -- sorted, with a space between
  scope       TEXT,              -- JSON
  created_at  INTEGER NOT NULL,
  created_by  TEXT    NOT NULL,
  expires_at  INTEGER,
  revoked_at  INTEGER,
  revoked_by  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS session (
  cookie_hash BLOB    PRIMARY KEY CHECK (length(cookie_hash) = 32),
  token_id    TEXT    NOT NULL,
  opened_at   INTEGER NOT NULL,
  ends_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS session_of_token ON session (token_id, opened_at);
CREATE INDEX IF NOT EXISTS session_by_end ON session (ends_at);
