// Which deployments the keys walk, and where a step leads. Pure.

/** Suspects first, in their order, then the deployments of the stream; each once. */
export function walked(
  suspects: readonly string[],
  streamed: readonly (string | null)[],
): readonly string[] {
  return [...new Set([...suspects, ...streamed.filter((id) => id !== null)])];
}

/** The next or previous of them; the first where none is chosen, and the ends stay where they are. */
export function neighbour(
  ids: readonly string[],
  chosen: string | null,
  step: 1 | -1,
): string | null {
  const place = chosen === null ? -1 : ids.indexOf(chosen);
  if (place < 0) return ids[0] ?? null;
  return ids[Math.min(ids.length - 1, Math.max(0, place + step))] ?? null;
}
