// A state, told by colour, glyph and word at once.

import { lookOf } from "../state/shown.ts";

export function StateMark({ state }: { state: string }) {
  const { glyph, word, tone } = lookOf(state);
  return (
    <span class={`state tone-${tone}`} data-state={state}>
      <span class="state-glyph" aria-hidden="true">
        {glyph}
      </span>
      {` ${word}`}
    </span>
  );
}

/** A verdict's result, in the same manner. */
export function ResultMark({ result }: { result: string | null }) {
  const [glyph, tone] =
    result === "pass" ? ["✓", "good"] : result === "fail" ? ["✕", "bad"] : ["?", "warn"];
  return (
    <span class={`state tone-${tone}`}>
      <span class="state-glyph" aria-hidden="true">
        {glyph}
      </span>{" "}
      {result ?? "no look yet"}
    </span>
  );
}
