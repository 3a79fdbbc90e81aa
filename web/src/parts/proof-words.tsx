// How well what is said of a deployment is proven, in one line.

import type { Proof } from "../api/documents.ts";
import { ToEntry } from "./link.tsx";
import { count } from "./words.ts";

const BINDINGS: Record<string, [string, string, string]> = {
  observed: ["✓", "good", "what runs was seen to be its artifact"],
  unproven: ["?", "warn", "what runs is declared, not observed"],
  mismatched: ["✕", "bad", "what runs is another artifact"],
  none: ["○", "calm", "no instance reports what runs"],
};

export function ProofWords({ proof }: { proof: Proof }) {
  const [glyph, tone, words] = BINDINGS[proof.binding] ?? ["?", "warn", proof.binding];
  return (
    <p class="row">
      <span class={`state tone-${tone}`}>
        <span class="state-glyph" aria-hidden="true">
          {glyph}
        </span>{" "}
        {words}
      </span>
      <span class="calm">
        {count(proof.signed)} of {count(proof.entries)} entries signed by their emitters' own keys
      </span>
      {proof.index === null ? null : (
        <span class="calm">
          newest: <ToEntry index={proof.index} />,{" "}
          {proof.published ? "covered by a published checkpoint" : "not yet published"}
        </span>
      )}
    </p>
  );
}
