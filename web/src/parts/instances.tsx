// How many instances are confirmed, unproven and mismatched, as words and as a bar of three patterns.

import type { InstanceCounts } from "../api/documents.ts";
import { instanceWords } from "./words.ts";

interface InstancesProps {
  counts: InstanceCounts;
  /** A zone, say: how many are expected is told of the whole cluster. */
  isPart?: boolean;
}

export function Instances({ counts, isPart = false }: InstancesProps) {
  const seen = counts.confirmed + counts.unproven + counts.mismatched;
  const all = Math.max(isPart ? 0 : (counts.expected ?? 0), seen);
  if (all === 0) return <span class="calm">no instance reports what it runs</span>;
  const words = instanceWords(counts, isPart);
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
