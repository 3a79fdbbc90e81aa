"""Every statement about `telemetry.db`; `telemetry.sql` lays its tables down.

`{where}` is filled with the names of filters, never with their values.
"""

# ruff: noqa: S608 - only names of our own tables and columns become a part of a statement

from typing import Final

from deploymark.ports import EXCERPTS_KEPT, TRACES_KEPT

RECEIPTS_KEPT: Final = 8_192

SELECT_PLACE = """SELECT id FROM place
  WHERE service = ? AND environment = ? AND deployment = ? AND instance = ?"""
INSERT_PLACE = """INSERT INTO place (service, environment, deployment, instance, heard_s)
  VALUES (?, ?, ?, ?, ?)"""
HEAR_PLACE = "UPDATE place SET heard_s = max(heard_s, ?) WHERE id = ?"
SELECT_BOUNDS = "SELECT id FROM bounds WHERE bounds = ?"
INSERT_BOUNDS = "INSERT INTO bounds (bounds) VALUES (?)"
SELECT_COUNT = """SELECT requests, errors, seen, since_s, seconds, b.bounds, counts
  FROM count JOIN bounds b ON b.id = count.bounds
  WHERE place = ? AND bucket_s = ? AND protocol = ? AND origin = ?"""
REPLACE_COUNT = "INSERT OR REPLACE INTO count VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
MEASURE = """INSERT INTO measured VALUES (?1, ?2, ?3, ?4)
  ON CONFLICT (place, protocol) DO UPDATE
  SET since_s = min(since_s, ?3), until_s = max(until_s, ?4)"""
ADD_GAUGE = """INSERT INTO gauge VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
  ON CONFLICT (place, bucket_s, name, label) DO UPDATE
  SET least = min(least, ?5), most = max(most, ?6), sum = sum + ?7, count = count + ?8"""
ADD_MARKED = """INSERT INTO marked VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (bucket_s, service, environment) DO UPDATE
  SET spans = spans + ?4, marked = marked + ?5"""
ADD_TRACE = "INSERT OR REPLACE INTO trace VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DROP_TRACES = f"""DELETE FROM trace
  WHERE (window_s, service, environment, deployment, failing) = (?1, ?2, ?3, ?4, ?5)
  AND (trace_id, span_id) IN (
    SELECT trace_id, span_id FROM trace
    WHERE (window_s, service, environment, deployment, failing) = (?1, ?2, ?3, ?4, ?5)
    ORDER BY iif(failing, at_ms, duration_us) DESC, trace_id, span_id
    LIMIT -1 OFFSET {TRACES_KEPT})"""
ADD_EXCERPT = "INSERT OR REPLACE INTO excerpt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DROP_EXCERPTS = f"""DELETE FROM excerpt
  WHERE (window_s, service, environment, deployment) = (?1, ?2, ?3, ?4)
  AND (severity, at_ms, instance, text) IN (
    SELECT severity, at_ms, instance, text FROM excerpt
    WHERE (window_s, service, environment, deployment) = (?1, ?2, ?3, ?4)
    ORDER BY severity DESC, at_ms, instance, text
    LIMIT -1 OFFSET {EXCERPTS_KEPT})"""
KEEP_STREAM = "INSERT OR REPLACE INTO stream VALUES (?, ?, ?)"
DROP_STREAM = "DELETE FROM stream WHERE key = ?"
ADD_RECEIPT = "INSERT INTO receipt (digest) VALUES (?)"
DROP_RECEIPTS = f"""DELETE FROM receipt
  WHERE number <= (SELECT coalesce(max(number), 0) FROM receipt) - {RECEIPTS_KEPT}"""

PLACED = """JOIN place p ON p.id = t.place
  WHERE t.place IN (SELECT id FROM place WHERE {where})"""
COUNTS = f"""SELECT p.service, p.environment, p.deployment, p.instance, t.bucket_s, t.protocol,
  t.origin, t.requests, t.errors, t.seen, t.since_s, t.seconds, b.bounds, t.counts
  FROM count t JOIN bounds b ON b.id = t.bounds {PLACED}
  AND t.bucket_s >= :since AND t.bucket_s < :until
  ORDER BY t.bucket_s, 1, 2, 3, 4, 6, 7 LIMIT :limit"""
GAUGES = f"""SELECT p.service, p.environment, p.deployment, p.instance, t.bucket_s, t.name,
  t.label, t.least, t.most, t.sum, t.count
  FROM gauge t {PLACED} AND t.bucket_s >= :since AND t.bucket_s < :until
  ORDER BY t.bucket_s, 1, 2, 3, 4, 6, 7 LIMIT :limit"""
MEASURED = f"""SELECT p.service, p.environment, p.deployment, p.instance, t.protocol, t.since_s,
  t.until_s FROM measured t {PLACED}"""
# Along the primary keys: two rows are read of each place.
FIRST_SEEN = """SELECT * FROM (
  SELECT service, environment, deployment, instance, min(
    coalesce((SELECT min(bucket_s) FROM count WHERE place = p.id), 9e18),
    coalesce((SELECT min(bucket_s) FROM gauge WHERE place = p.id), 9e18)) AS first_s
  FROM place p WHERE {where}
  ) WHERE first_s < 9e18 ORDER BY 1, 2, 3, 4"""
MARKED = """SELECT service, environment, bucket_s - bucket_s % :step AS at_s, sum(spans),
  sum(marked) FROM marked WHERE bucket_s >= :since AND bucket_s < :until AND {where}
  GROUP BY at_s, service, environment ORDER BY at_s, 1, 2 LIMIT :limit"""
TRACES = """SELECT service, environment, deployment, instance, window_s, failing, trace_id,
  span_id, name, route, at_ms, duration_us FROM trace
  WHERE window_s >= :since AND window_s < :until AND {where}
  ORDER BY window_s DESC, failing DESC, duration_us DESC, trace_id, span_id LIMIT :limit"""
EXCERPTS = """SELECT service, environment, deployment, instance, window_s, severity, at_ms,
  text, event, trace_id FROM excerpt
  WHERE window_s >= :since AND window_s < :until AND {where}
  ORDER BY window_s DESC, severity DESC, at_ms, instance, text LIMIT :limit"""
