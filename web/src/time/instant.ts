// How instants and lengths of time are written for people: always UTC, dates where they are needed.
// Pure; knows no clock.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (number: number) => String(number).padStart(2, "0");

export function clock(at: number): string {
  const date = new Date(at);
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

export function clockWithSeconds(at: number): string {
  return `${clock(at)}:${two(new Date(at).getUTCSeconds())}`;
}

export function day(at: number): string {
  const date = new Date(at);
  return `${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
}

export function dayAndClock(at: number): string {
  return `${day(at)} ${clock(at)}`;
}

/** As exact as the log: for evidence. */
export function exact(at: number): string {
  return Number.isFinite(at)
    ? `${new Date(at).toISOString().replace("T", " ").replace("Z", "")} UTC`
    : "–";
}

/** The ends of a window; the day of the second one is left out when it is in the middle of a night. */
export function written(since: number, until: number): string {
  const end = until - since > DAY ? dayAndClock(until) : clock(until);
  return `${dayAndClock(since)} – ${end}`;
}

/** A clock, with its day before it in windows that are longer than one. */
export function placed(at: number, windowMs: number): string {
  return windowMs > DAY ? dayAndClock(at) : clock(at);
}

/** With the year, where it may be another one than whoever reads has in mind. */
export function dated(at: number, now: number): string {
  const isNear = Math.abs(now - at) < 300 * DAY;
  return isNear ? dayAndClock(at) : `${new Date(at).getUTCFullYear()}-${dayAndClock(at)}`;
}

/** How long ago, in one unit: `21m ago`. */
export function ago(at: number, now: number): string {
  return at > now ? `in ${length(at - now)}` : `${length(now - at)} ago`;
}

/** For sentences, in at most two units: `4 h 35 min`. The server says it so too (model.lengths). */
export function spelled(ms: number): string {
  const size = Math.abs(ms);
  const two = (most: number, unit: string, rest: number, finer: string) =>
    rest > 0 ? `${most} ${unit} ${rest} ${finer}` : `${most} ${unit}`;
  if (size < 2 * MINUTE) return `${Math.floor(size / 1000)} s`;
  if (size < HOUR) return `${Math.floor(size / MINUTE)} min`;
  if (size < 2 * DAY)
    return two(Math.floor(size / HOUR), "h", Math.floor((size % HOUR) / MINUTE), "min");
  return two(Math.floor(size / DAY), "days", Math.floor((size % DAY) / HOUR), "h");
}

/** Where there is little room, in one unit: `4h`. */
export function length(ms: number): string {
  if (ms < MINUTE) return `${Math.max(0, Math.round(ms / 1000))}s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}m`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}h`;
  return `${Math.floor(ms / DAY)}d`;
}

/** Milliseconds of an RFC 3339 text, null for none and for nonsense. */
export function parsed(text: string | null | undefined): number | null {
  if (!text) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

export function rfc3339(at: number): string {
  return new Date(at).toISOString();
}
