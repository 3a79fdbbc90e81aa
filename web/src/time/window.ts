// The window of time that a page looks at: named ranges that end now, or two instants.
// Pure: whoever calls says what time it is. Milliseconds since 1970 everywhere.

export const RANGES = ["15m", "1h", "6h", "24h", "7d"] as const;
export type Range = (typeof RANGES)[number];

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
export const RANGE_MS: Record<Range, number> = {
  "15m": 15 * MINUTE,
  "1h": 60 * MINUTE,
  "6h": 360 * MINUTE,
  "24h": DAY,
  "7d": 7 * DAY,
};
const SHORTEST_MS = MINUTE;
const LONGEST_MS = 366 * DAY;

/** What the address says: a range that ends now, or two instants that stay where they are. */
export type Window = { range: Range } | { since: number; until: number };

export interface Span {
  since: number;
  until: number;
}

export function isRange(text: string | null): text is Range {
  return (RANGES as readonly (string | null)[]).includes(text);
}

/** The instants that a window covers, as seen at `now`. */
export function spanOf(window: Window, now: number): Span {
  if ("range" in window) return { since: now - RANGE_MS[window.range], until: now };
  return { since: window.since, until: window.until };
}

/** Moved by a part of its length; negative is earlier. What reaches into the future ends at `now`. */
export function panned(span: Span, part: number, now: number): Span {
  const length = span.until - span.since;
  const until = Math.min(now, span.until + length * part);
  return { since: Math.round(until - length), until: Math.round(until) };
}

/** What zooming keeps in place: what is chosen where it is seen, else the end that is now, else the middle. */
export function centreOf(span: Span, chosen: number | null, followsNow: boolean): number {
  const { since, until } = span;
  if (chosen !== null && chosen >= since && chosen <= until) return chosen;
  return followsNow ? until : (since + until) / 2;
}

/** Made `factor` times as long around `centre`, which stays at the same place on the screen. */
export function zoomed(span: Span, factor: number, centre: number, now: number): Span {
  const length = span.until - span.since;
  const wanted = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, length * factor));
  const part = (centre - span.since) / length;
  const until = Math.min(now, centre + wanted * (1 - part));
  return { since: Math.round(until - wanted), until: Math.round(until) };
}
