// The one vocabulary of states: a rank, a word, a glyph and a colour for each, so that none is told
// by colour alone. The server maps what it knows to these words; here they are only drawn.

export const STATES = [
  "failed",
  "rolling_back",
  "paused",
  "canary",
  "rolling_out",
  "unknown",
  "planned",
  "healthy",
  "complete",
  "superseded",
  "rolled_back",
  "removed",
  "config",
] as const;
export type State = (typeof STATES)[number];

export type Tone = "bad" | "back" | "warn" | "move" | "good" | "calm";

interface Look {
  word: string;
  glyph: string;
  tone: Tone;
}

const LOOKS: Record<State, Look> = {
  failed: { word: "failed", glyph: "✕", tone: "bad" },
  rolling_back: { word: "rolling back", glyph: "↺", tone: "back" },
  paused: { word: "paused", glyph: "‖", tone: "warn" },
  canary: { word: "canary", glyph: "◐", tone: "warn" },
  rolling_out: { word: "rolling out", glyph: "▶", tone: "move" },
  unknown: { word: "unknown", glyph: "?", tone: "warn" },
  planned: { word: "planned", glyph: "○", tone: "calm" },
  healthy: { word: "healthy", glyph: "●", tone: "good" },
  complete: { word: "complete", glyph: "✓", tone: "good" },
  superseded: { word: "superseded", glyph: "◌", tone: "calm" },
  rolled_back: { word: "rolled back", glyph: "⤺", tone: "calm" },
  removed: { word: "removed", glyph: "⊘", tone: "calm" },
  config: { word: "config", glyph: "■", tone: "calm" },
};

const RANKS = new Map<string, number>(STATES.map((state, rank) => [state, rank]));

/** Worst is 0; a word that this page does not know is as bad as unknown. */
export function rankOf(state: string): number {
  return RANKS.get(state) ?? STATES.indexOf("unknown");
}

export function lookOf(state: string): Look {
  return LOOKS[state as State] ?? { word: state.replaceAll("_", " "), glyph: "?", tone: "warn" };
}

/** Whether a mark of this state may be faint, and left out where there are many. */
export function isFaint(state: string): boolean {
  return rankOf(state) >= STATES.indexOf("planned");
}
