-- telemetry.db: disposable evidence of what runs. Not the log, and in no backup.
-- Rows are found by place and time; what is old is deleted place by place, along the primary keys.

CREATE TABLE place (
  id          INTEGER PRIMARY KEY,
  service     TEXT NOT NULL,
  environment TEXT NOT NULL,
  deployment  TEXT NOT NULL,
  instance    TEXT NOT NULL,
  heard_s     INTEGER NOT NULL,
  UNIQUE (service, environment, deployment, instance)
) STRICT;

CREATE TABLE bounds (
  id     INTEGER PRIMARY KEY,
  bounds BLOB NOT NULL UNIQUE  -- little-endian doubles
) STRICT;

CREATE TABLE count (
  place    INTEGER NOT NULL,
  bucket_s INTEGER NOT NULL,
  protocol TEXT NOT NULL,
  origin   TEXT NOT NULL,
  requests REAL NOT NULL,
  errors   REAL NOT NULL,
  seen     INTEGER NOT NULL,
  since_s  INTEGER NOT NULL,
  seconds  REAL NOT NULL,
  bounds   INTEGER NOT NULL,
  counts   BLOB NOT NULL,
  PRIMARY KEY (place, bucket_s, protocol, origin)
) STRICT, WITHOUT ROWID;

CREATE TABLE measured (
  place    INTEGER NOT NULL,
  protocol TEXT NOT NULL,
  since_s  INTEGER NOT NULL,
  until_s  INTEGER NOT NULL,
  PRIMARY KEY (place, protocol)
) STRICT, WITHOUT ROWID;

CREATE TABLE gauge (
  place    INTEGER NOT NULL,
  bucket_s INTEGER NOT NULL,
  name     TEXT NOT NULL,
  label    TEXT NOT NULL,
  least    REAL NOT NULL,
  most     REAL NOT NULL,
  sum      REAL NOT NULL,
  count    INTEGER NOT NULL,
  PRIMARY KEY (place, bucket_s, name, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE marked (
  service     TEXT NOT NULL,
  environment TEXT NOT NULL,
  bucket_s    INTEGER NOT NULL,
  spans       INTEGER NOT NULL,
  marked      INTEGER NOT NULL,
  PRIMARY KEY (bucket_s, service, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE trace (
  window_s    INTEGER NOT NULL,
  service     TEXT NOT NULL,
  environment TEXT NOT NULL,
  deployment  TEXT NOT NULL,
  failing     INTEGER NOT NULL,
  trace_id    TEXT NOT NULL,
  span_id     TEXT NOT NULL,
  instance    TEXT NOT NULL,
  name        TEXT NOT NULL,
  route       TEXT NOT NULL,
  at_ms       INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  PRIMARY KEY (window_s, service, environment, deployment, failing, trace_id, span_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE excerpt (
  window_s    INTEGER NOT NULL,
  service     TEXT NOT NULL,
  environment TEXT NOT NULL,
  deployment  TEXT NOT NULL,
  severity    INTEGER NOT NULL,
  at_ms       INTEGER NOT NULL,
  instance    TEXT NOT NULL,
  text        TEXT NOT NULL,
  event       TEXT NOT NULL,
  trace_id    TEXT NOT NULL,
  PRIMARY KEY (window_s, service, environment, deployment, severity, at_ms, instance, text)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream (
  key     BLOB PRIMARY KEY,
  state   BLOB NOT NULL,
  heard_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
  number INTEGER PRIMARY KEY,
  digest BLOB NOT NULL
) STRICT;
