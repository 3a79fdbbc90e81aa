-- The log in SQLite. One row of `entry` is one leaf; everything else follows from the entries
-- and is checked against them by `deploymark log fsck`.
-- user_version 1. Hashes are 32-byte blobs, times are milliseconds since the Unix epoch.

CREATE TABLE log (
  one            INTEGER PRIMARY KEY CHECK (one = 1),
  origin         TEXT    NOT NULL,
  size           INTEGER NOT NULL,
  root           BLOB    NOT NULL,
  frontier       BLOB    NOT NULL,
  note           TEXT    NOT NULL,
  published_size INTEGER NOT NULL
) STRICT;

CREATE TABLE entry (
  idx         INTEGER PRIMARY KEY,
  leaf_hash   BLOB    NOT NULL,
  received_at INTEGER NOT NULL,
  key_id      TEXT    NOT NULL,
  dedupe      TEXT    NOT NULL UNIQUE,
  body        BLOB
) STRICT;

-- Completed subtrees of 256**level leaves, level >= 1. Level 0 is sliced from entry.leaf_hash,
-- partial tiles are not stored at all, so appending never rewrites a tile.
CREATE TABLE node (
  level INTEGER NOT NULL,
  idx   INTEGER NOT NULL,
  hash  BLOB    NOT NULL,
  PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
  size          INTEGER PRIMARY KEY,
  previous_size INTEGER NOT NULL,
  published_at  INTEGER NOT NULL,
  note          TEXT    NOT NULL,
  cosignatures  INTEGER NOT NULL
) STRICT;

CREATE TABLE cosignature (
  size INTEGER NOT NULL,
  vkey TEXT    NOT NULL,
  line TEXT    NOT NULL,
  PRIMARY KEY (size, vkey)
) STRICT, WITHOUT ROWID;

CREATE TABLE detail (
  digest    BLOB PRIMARY KEY,
  salt      BLOB,
  blob      BLOB,
  erased_at INTEGER
) STRICT;

-- Not a defence against an administrator (the tree is), but against a slip of the hand.
CREATE TRIGGER entry_stays BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'log entries are never deleted'); END;
CREATE TRIGGER entry_is_fixed BEFORE UPDATE OF idx, leaf_hash, received_at, key_id, dedupe ON entry
BEGIN SELECT RAISE(ABORT, 'log entries are never changed'); END;
CREATE TRIGGER origin_is_fixed BEFORE UPDATE OF origin ON log
BEGIN SELECT RAISE(ABORT, 'the origin of a log is never changed'); END;
