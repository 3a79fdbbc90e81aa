-- Leases. A row stays when nobody holds its lease, so that the fence goes on rising; see leases.py.

CREATE TABLE IF NOT EXISTS lease (
  name   TEXT    PRIMARY KEY,
  holder TEXT,
  taken  INTEGER NOT NULL,
  until  INTEGER NOT NULL,
  fence  INTEGER NOT NULL CHECK (fence > 0)
) STRICT, WITHOUT ROWID;
