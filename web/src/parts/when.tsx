// An instant: short on the screen, exact for whoever hovers or asks the machine.

import { serverNow } from "../state/app.ts";
import { dated, exact, parsed } from "../time/instant.ts";

export function When({ at }: { at: string | number | null }) {
  const instant = typeof at === "number" ? at : parsed(at);
  if (instant === null) return <span class="calm">–</span>;
  return (
    <time dateTime={new Date(instant).toISOString()} title={exact(instant)}>
      {dated(instant, serverNow())}
    </time>
  );
}
