// An instant: short on the screen, exact for whoever hovers or asks the machine.

import { exact, parsed, placed } from "../time/instant.ts";

export function When({
  at,
  windowMs = Number.POSITIVE_INFINITY,
}: {
  at: string | number | null;
  windowMs?: number;
}) {
  const instant = typeof at === "number" ? at : parsed(at);
  if (instant === null) return <span class="calm">–</span>;
  return (
    <time dateTime={new Date(instant).toISOString()} title={exact(instant)}>
      {placed(instant, windowMs)}
    </time>
  );
}
