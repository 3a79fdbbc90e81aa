// The rows of the stream: newest first, each log index once, bounded. New rows wait beside them
// while someone points at a row, so that nothing moves under the pointer. Pure.

export interface Indexed {
  index: number;
}

export interface Rows<T extends Indexed> {
  /** Newest first. */
  shown: readonly T[];
  /** Newest first; all newer than what is shown. */
  waiting: readonly T[];
}

export const MOST_ROWS = 500;

/** Add rows in whatever order they come; what is known already, by index, is not added again. */
export function added<T extends Indexed>(
  rows: Rows<T>,
  fresh: readonly T[],
  held: boolean,
): Rows<T> {
  const known = new Set([...rows.shown, ...rows.waiting].map((row) => row.index));
  const oldest = rows.shown.length >= MOST_ROWS ? (rows.shown.at(-1)?.index ?? -1) : -1;
  const news: T[] = [];
  for (const row of fresh) {
    if (known.has(row.index) || row.index < oldest) continue;
    known.add(row.index);
    news.push(row);
  }
  if (news.length === 0) return held || rows.waiting.length === 0 ? rows : released(rows);
  const waiting = sorted([...rows.waiting, ...news]);
  return held ? { shown: rows.shown, waiting } : released({ shown: rows.shown, waiting });
}

/** Show what waited. */
export function released<T extends Indexed>(rows: Rows<T>): Rows<T> {
  return { shown: sorted([...rows.waiting, ...rows.shown]).slice(0, MOST_ROWS), waiting: [] };
}

function sorted<T extends Indexed>(rows: T[]): T[] {
  return rows.sort((one, other) => other.index - one.index);
}
