-- What admission remembers: derived from the log, and folded again when lost..

CREATE TABLE IF NOT EXISTS registry_fact (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a deployment, found by its newest entry.
CREATE TABLE IF NOT EXISTS registry_deployment (
  key         TEXT PRIMARY KEY,
  service     TEXT NOT NULL,
  environment TEXT NOT NULL,
  last_index  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS registry_newest ON registry_deployment (last_index);
CREATE INDEX IF NOT EXISTS registry_newest_of
  ON registry_deployment (service, environment, last_index);
CREATE INDEX IF NOT EXISTS registry_newest_in ON registry_deployment (environment, last_index);

CREATE TABLE IF NOT EXISTS registry_position (
  one       INTEGER PRIMARY KEY CHECK (one = 1),
  origin    TEXT    NOT NULL,
  size      INTEGER NOT NULL,
  leaf_hash BLOB    NOT NULL
) STRICT;
