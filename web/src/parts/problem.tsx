// What went wrong, and what to do now: the server's own words.

import type { BootProblem } from "../api/documents.ts";

export function ProblemNote({ problem }: { problem: BootProblem }) {
  return (
    <div class="problem break" role="alert">
      <strong>{problem.title}.</strong> {problem.detail}
      {problem.hint ? <div class="calm">{problem.hint}</div> : null}
      {problem.code ? <div class="calm small mono">{problem.code}</div> : null}
    </div>
  );
}
