// How one event of the stream is shown: by what it said itself, at its time. How its deployment
// stands now is another question, which the selection answers. Pure.

import type { State } from "../state/shown.ts";

const PHASES: Record<string, State> = {
  planned: "planned",
  applying: "rolling_out",
  applied: "healthy",
  running: "healthy",
  cutover: "healthy",
  promoted: "complete",
  failed: "failed",
  rolling_back: "rolling_back",
  rolled_back: "rolled_back",
  removed: "removed",
};
const RESULTS: Record<string, State> = { pass: "healthy", fail: "failed" };
const ACTIONS: Record<string, State> = {
  roll_back: "rolling_back",
  pause: "paused",
  freeze: "paused",
};

/** The glyph and colour of what was said; null where it is about no state. */
export function toneState(type: string, event: string): State | null {
  if (type === "marker") return PHASES[event] ?? "unknown";
  if (type === "verdict") return RESULTS[event] ?? "unknown";
  const [action = "", stage] = event.split(" ");
  // How it ended is in its sentence: an outcome may be that nothing was done.
  if (type === "decision" && stage !== "outcome") return ACTIONS[action] ?? null;
  return null;
}

interface Said {
  type: string;
  service: string | null;
  who: string | null;
  place: string | null;
  sentence: string;
}

/** What a row is about: its service, else what was found or decided; and the line below that. */
export function rowWords({ type, service, who, place, sentence }: Said): {
  title: string;
  about: string;
} {
  const where = [who, place].filter(Boolean).join(" · ");
  // A finding's sentence begins with its code.
  const [, code, found] = (type === "finding" && /^([a-z_]+): (.+)$/s.exec(sentence)) || [];
  const plain = code?.replaceAll("_", " ");
  if (service !== null)
    return {
      title: service,
      about: [plain, where].filter(Boolean).join(" · ") || sentence,
    };
  return plain === undefined
    ? { title: sentence || type, about: where }
    : { title: plain, about: found ?? where };
}

/** What was said, in words: a marker's phase alone, else with what kind of entry said it. */
export function saidWords(type: string, event: string): string {
  const plain = event.replaceAll("_", " ");
  return type === "marker" ? plain || type : `${type} ${plain}`.trim();
}
