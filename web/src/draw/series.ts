// Series that come as lowest and highest value per pixel column: what uPlot draws of them, and the
// means before and after an instant. Pure.

const GAP_STEPS = 2.5;

/** Columns without a value are left out. */
export interface Columns {
  at_ms: readonly number[];
  low: readonly number[];
  high: readonly number[];
  step_ms: number;
}

/**
 * Points of one line that touches every low and every high, so that no spike is lost: two in a
 * column, one where they are the same. Where columns are missing the line is broken.
 */
export function line(columns: Columns): { x: number[]; y: (number | null)[] } {
  const { at_ms, low: lows, high: highs, step_ms } = columns;
  const x: number[] = [];
  const y: (number | null)[] = [];
  let last: number | null = null;
  let lastAt = Number.NEGATIVE_INFINITY;
  at_ms.forEach((at, i) => {
    const low = lows[i] ?? 0;
    const high = highs[i] ?? low;
    if (last !== null && at - lastAt > GAP_STEPS * step_ms) {
      x.push(lastAt + step_ms);
      y.push(null);
      last = null;
    }
    lastAt = at;
    // The end that is nearer to where the line comes from is touched first.
    const isLowFirst: boolean = last === null || Math.abs(last - low) <= Math.abs(last - high);
    const [one, two] = isLowFirst ? [low, high] : [high, low];
    x.push(at);
    y.push(one);
    if (two !== one) {
      x.push(at + step_ms / 2);
      y.push(two);
    }
    last = two;
  });
  return { x, y };
}

/**
 * The mean of the columns that lie in [since, until]; null when there are none. One that reaches over
 * an end holds something of both sides, and counts on neither.
 */
export function mean(columns: Columns, since: number, until: number): number | null {
  let sum = 0;
  let count = 0;
  columns.at_ms.forEach((at, i) => {
    if (at < since || at + columns.step_ms > until) return;
    const low = columns.low[i] ?? 0;
    sum += (low + (columns.high[i] ?? low)) / 2;
    count += 1;
  });
  return count === 0 ? null : sum / count;
}

export interface Change {
  before: number;
  after: number;
  /** After by before minus one; null when before is nothing. */
  part: number | null;
  /** How long was looked at on each side. */
  lookedMs: number;
}

export const LOOK_MS = 30 * 60_000;
/** Less of the half hour before is no measure of how it was. */
const ENOUGH_MS = LOOK_MS / 3;

/** From the first to the last of the columns that lie in [since, until]; null when there are none. */
export function measured(
  columns: Columns,
  since: number,
  until: number,
): { since: number; until: number } | null {
  const { step_ms } = columns;
  const inside = columns.at_ms.filter((at) => at >= since && at + step_ms <= until);
  const [first, last] = [inside[0], inside.at(-1)];
  return first === undefined || last === undefined ? null : { since: first, until: last + step_ms };
}

/** Means over 30 minutes before and after, or over as much as there is after. */
export function change(columns: Columns, at: number, until: number): Change | null {
  const looked = Math.min(LOOK_MS, until - at);
  const known = measured(columns, at - LOOK_MS, at);
  if (looked <= 0 || known === null || known.until - known.since < ENOUGH_MS) return null;
  const before = mean(columns, at - LOOK_MS, at);
  const after = mean(columns, at, at + looked);
  if (before === null || after === null) return null;
  const part = before === 0 ? null : after / before - 1;
  return { before, after, part, lookedMs: looked };
}

/** Shares as they are shown, in percent. */
export function inUnit<Shown extends Columns & { unit: string }>(series: Shown): Shown {
  if (series.unit !== "share") return series;
  return {
    ...series,
    low: series.low.map((each) => each * 100),
    high: series.high.map((each) => each * 100),
  };
}

/** Three digits at most, thousands as k: 0.36, 2.8, 353, 4.6k. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (size >= 1_000) return `${(value / 1_000).toFixed(1)}k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(size % 1 === 0 ? 0 : 1);
  return value === 0 ? "0" : value.toFixed(2);
}
