// Where the time axis has its ticks, and what stands at them. Pure; UTC.

import { clock, clockWithSeconds, day } from "./instant.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  SECOND,
  5 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  7 * DAY,
  14 * DAY,
  30 * DAY,
  90 * DAY,
];

export interface Tick {
  at: number;
  label: string;
}

/** At most one tick in `apart` pixels, on round instants. */
export function ticks(since: number, until: number, width: number, apart = 72): Tick[] {
  if (!(until > since) || width <= 0) return [];
  const least = ((until - since) / width) * apart;
  const step = STEPS.find((each) => each >= least) ?? 365 * DAY;
  const found: Tick[] = [];
  for (let at = Math.ceil(since / step) * step; at <= until; at += step) {
    found.push({ at, label: label(at, step) });
  }
  return found;
}

/** Midnight is told by its date, so that a window of days can be read. */
function label(at: number, step: number): string {
  if (at % DAY === 0) return day(at);
  return step < MINUTE ? clockWithSeconds(at) : clock(at);
}
