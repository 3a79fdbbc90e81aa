-- The emitter ledger. Keys and rows are JSON, so that a person can read them; see ingest/ledger.

CREATE TABLE IF NOT EXISTS ledger_row (
  key  TEXT PRIMARY KEY,
  data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS ledger_position (
  one       INTEGER PRIMARY KEY CHECK (one = 1),
  origin    TEXT    NOT NULL,
  size      INTEGER NOT NULL CHECK (size >= 0),
  leaf_hash BLOB    NOT NULL
) STRICT;
