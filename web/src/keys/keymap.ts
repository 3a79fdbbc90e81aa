// Which keys mean what. One table: the help is made of it too. Pure; keyboard.ts listens.

export type Command =
  | "next"
  | "previous"
  | "open"
  | "compare"
  | "roll-back"
  | "copy-link"
  | "filter"
  | "freeze"
  | "palette"
  | "pan-earlier"
  | "pan-later"
  | "zoom-in"
  | "zoom-out"
  | "pause"
  | "help"
  | "close"
  | "theme"
  | "go-oncall"
  | "go-debug"
  | "go-exec"
  | "go-deployments"
  | "go-services"
  | "go-fleet"
  | "go-audit";

interface Binding {
  keys: readonly string[];
  shown: string;
  says: string;
}

export const BINDINGS: Record<Command, Binding> = {
  next: { keys: ["j"], shown: "j", says: "next deployment" },
  previous: { keys: ["k"], shown: "k", says: "deployment before" },
  open: { keys: ["Enter"], shown: "Enter", says: "open the selected deployment" },
  compare: { keys: ["c"], shown: "c", says: "compare it with the one before" },
  "roll-back": { keys: ["r"], shown: "r", says: "roll back, after you typed its service" },
  "copy-link": { keys: ["y"], shown: "y", says: "copy a link to what you see" },
  freeze: { keys: ["f"], shown: "f", says: "freeze this view under an address of its own" },
  filter: { keys: ["/"], shown: "/", says: "filter" },
  palette: { keys: ["ctrl-k", "meta-k"], shown: "Ctrl K or ⌘ K", says: "go to anything by name" },
  "pan-earlier": { keys: ["["], shown: "[", says: "look earlier" },
  "pan-later": { keys: ["]"], shown: "]", says: "look later" },
  "zoom-in": { keys: ["+", "="], shown: "+", says: "shorter window" },
  "zoom-out": { keys: ["-", "−"], shown: "−", says: "longer window" },
  pause: { keys: ["l"], shown: "l", says: "hold the live stream, or let it go on" },
  theme: { keys: ["t"], shown: "t", says: "light or dark" },
  "go-oncall": { keys: ["g o"], shown: "g o", says: "on-call" },
  "go-debug": { keys: ["g b"], shown: "g b", says: "debug the selected deployment" },
  "go-exec": { keys: ["g e"], shown: "g e", says: "executive" },
  "go-deployments": { keys: ["g d"], shown: "g d", says: "deployments" },
  "go-services": { keys: ["g s"], shown: "g s", says: "services" },
  "go-fleet": { keys: ["g f"], shown: "g f", says: "fleet" },
  "go-audit": { keys: ["g a"], shown: "g a", says: "audit" },
  help: { keys: ["?"], shown: "?", says: "this help" },
  close: { keys: ["Escape"], shown: "Esc", says: "close what is open" },
};

/** These work while typing, and when the other keys are switched off. */
const ALWAYS: ReadonlySet<Command> = new Set(["palette", "close"]);
const BY_KEY = new Map<string, Command>(
  (Object.keys(BINDINGS) as Command[]).flatMap((command) =>
    BINDINGS[command].keys.map((keys): [string, Command] => [keys, command]),
  ),
);
const PATIENCE_MS = 1_200;

export interface Press {
  key: string;
  ctrl: boolean;
  meta: boolean;
  alt: boolean;
  at: number;
  /** The key belongs to a field that takes text, or to a control that acts on it. */
  isTaken: boolean;
}

/** Remembers `g` until the letter after it. */
export class Keymap {
  private first: { key: string; at: number } | null = null;

  /** The command that this press ends, or null. */
  press(press: Press, areOn: boolean): Command | null {
    const first = this.first;
    this.first = null;
    const command = this.meaning(press, first);
    if (command === null) return null;
    return ALWAYS.has(command) || (areOn && !press.isTaken) ? command : null;
  }

  private meaning(press: Press, first: { key: string; at: number } | null): Command | null {
    if (press.alt) return null;
    const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
    if (press.ctrl) return BY_KEY.get(`ctrl-${key}`) ?? null;
    if (press.meta) return BY_KEY.get(`meta-${key}`) ?? null;
    if (first !== null && press.at - first.at <= PATIENCE_MS)
      return BY_KEY.get(`${first.key} ${key}`) ?? null;
    if (key === "g" && !press.isTaken) {
      this.first = { key, at: press.at };
      return null;
    }
    return BY_KEY.get(key) ?? null;
  }
}
