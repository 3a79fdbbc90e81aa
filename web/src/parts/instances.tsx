// How many instances are confirmed, unproven and mismatched, as words and as a bar of three patterns.

import type { InstanceCounts } from "../api/documents.ts";
import { count } from "./words.ts";

export function Instances({ counts }: { counts: InstanceCounts }) {
  const seen = counts.confirmed + counts.unproven + counts.mismatched;
  const all = Math.max(counts.expected ?? 0, seen);
  if (all === 0) return <span class="calm">no instance reports what it runs</span>;
  const words = [
    `${count(counts.confirmed)} confirmed`,
    counts.unproven > 0 ? `${count(counts.unproven)} unproven` : "",
    counts.mismatched > 0 ? `${count(counts.mismatched)} run another artifact` : "",
    counts.expected === null
      ? "how many should run is not known"
      : `${count(counts.expected)} expected`,
  ]
    .filter(Boolean)
    .join(" · ");
  const x = (part: number) => (part / all) * 100;
  return (
    <>
      <svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class="part-rest" width="100" height="8" />
        <rect class="part-good" width={x(counts.confirmed)} height="8" />
        <rect class="part-warn" x={x(counts.confirmed)} width={x(counts.unproven)} height="8" />
        <rect
          class="part-bad"
          x={x(counts.confirmed + counts.unproven)}
          width={x(counts.mismatched)}
          height="8"
        />
      </svg>
      <span class={counts.mismatched > 0 ? "tone-bad" : ""}>{words}</span>
    </>
  );
}
