// What changed after the selected deployment, measured the same whatever the window and its width:
// the half hour before it against as much of the half hour after it as there is. Errors are the
// server's own count of requests, the others means of ten-second values asked for this alone.

import { useEffect, useRef, useState } from "preact/hooks";
import { ask, Problem } from "../../api/client.ts";
import type { Chip, SeriesSet } from "../../api/documents.ts";
import { type Change, change, inUnit, LOOK_MS } from "../../draw/series.ts";
import { parsed, rfc3339 } from "../../time/instant.ts";

export type Changes = Readonly<Record<string, Change>>;

const STEP_MS = 10_000;
const AGAIN_MS = 15_000;
/** So long after the half hour what comes late is waited for. */
const LATE_MS = 120_000;
const ERRORS = "errors";
const MEASURED = [ERRORS, "latency_p95", "requests", "saturation"];

/** How the numbers came about, as the page says it. */
export function definitionOf(name: string): string {
  return name === ERRORS
    ? "Failed requests of all requests, 30 min before against up to 30 min after it went live."
    : "Mean of 10-second values, 30 min before against up to 30 min after it went live.";
}

/** The server's count; null where it has none yet. */
export function errorsOf(chip: Chip | null): Change | null {
  const delta = chip?.delta;
  if (!delta || delta.before === null || delta.after === null) return null;
  const [before, after] = [delta.before * 100, delta.after * 100];
  return {
    before,
    after,
    part: before === 0 ? null : after / before - 1,
    lookedMs: delta.after_seconds * 1_000,
  };
}

/** The means of a set that was asked for with columns that begin at the deployment, as they are shown. */
export function meansOf(found: SeriesSet, at: number): Changes {
  const now = parsed(found.now_at) ?? at;
  const told: Record<string, Change> = {};
  for (const each of found.items) {
    const changed = change(inUnit(each), at, now);
    if (changed !== null) told[each.name] = changed;
  }
  return told;
}

/** With the server's count of errors, where the half hour before was measured. */
export function counted({ errors: measured, ...others }: Changes, errors: Change | null): Changes {
  return measured === undefined || errors === null ? others : { ...others, errors };
}

export function useChanges(chip: Chip | null, asOf: number): Changes {
  const [means, setMeans] = useState<{ key: string; told: Changes }>({ key: "", told: {} });
  const asked = useRef({ key: "", at: 0, isWhole: false });
  const at = chip === null ? null : parsed(chip.at);
  const key = chip === null || !chip.service ? "" : `${chip.service} ${chip.environment} ${at}`;
  useEffect(() => {
    if (chip === null || at === null || key === "") return;
    const last = asked.current;
    if (last.key === key && (last.isWhole || Date.now() - last.at < AGAIN_MS)) return;
    asked.current = { key, at: Date.now(), isWhole: false };
    const query = new URLSearchParams({
      since: rfc3339(at - LOOK_MS),
      until: rfc3339(at + LOOK_MS),
      width: String((2 * LOOK_MS) / STEP_MS),
      service: chip.service,
    });
    for (const name of MEASURED) query.append("names", name);
    if (chip.environment) query.set("environment", chip.environment);
    ask<SeriesSet>(`/v1/series?${query}`)
      .then((found) => {
        if (asked.current.key !== key) return;
        asked.current.isWhole = (parsed(found.now_at) ?? 0) > at + LOOK_MS + LATE_MS;
        setMeans({ key, told: meansOf(found, at) });
      })
      .catch((error: unknown) => {
        // The charts say what is wrong; without these numbers they stand.
        if (!(error instanceof Problem)) throw error;
      });
  }, [key, asOf]);
  return means.key === key ? counted(means.told, errorsOf(chip)) : {};
}
