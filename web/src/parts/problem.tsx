// What went wrong, and what to do now: the server's own words.

import type { BootProblem } from "../api/documents.ts";
import { spelled } from "../time/instant.ts";

interface Told {
  problem: BootProblem;
  /** After so long the page asks again by itself. */
  againMs?: number | null;
}

export function ProblemNote({ problem, againMs = null }: Told) {
  return (
    <div class="problem break" role="alert">
      <strong>{problem.title}.</strong> {problem.detail}
      {problem.hint ? <div class="calm">{problem.hint}</div> : null}
      {againMs === null ? null : <div>The page asks again by itself after {spelled(againMs)}.</div>}
      {problem.code ? <div class="calm small mono">{problem.code}</div> : null}
    </div>
  );
}
