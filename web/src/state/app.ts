// What the page knows at the moment: where it is, who looks, the document, what goes wrong. Signals;
// whoever shows one of them is drawn anew when it changes. How documents come is load.ts.

import { computed, signal } from "@preact/signals";
import type { Address } from "../address/address.ts";
import { parseAddress } from "../address/address.ts";
import type { AnyDocument, Boot, BootProblem, BootSession } from "../api/documents.ts";
import { readBoot } from "../boot.ts";
import { parsed } from "../time/instant.ts";
import { spanOf } from "../time/window.ts";

export const boot: Boot = readBoot();

export const address = signal<Address>(parseAddress(location.pathname, location.search));
export const session = signal<BootSession | null>(boot.session);
export const problem = signal<BootProblem | null>(boot.problem);
/** In how many milliseconds the page asks again by itself; null where it does not. */
export const againMs = signal<number | null>(null);

export interface Loaded {
  /** Path and query that it was asked with, without the selection. */
  key: string;
  page: string;
  document: AnyDocument;
}

export const loaded = signal<Loaded | null>(null);
export const isLoading = signal(false);

/** The difference between the server's clock and this machine's, so that ages are told rightly. */
const ahead = signal(0);
const tick = signal(Date.now());
setInterval(() => {
  tick.value = Date.now();
}, 15_000);

export function seeServerTime(now_at: string): void {
  const at = parsed(now_at);
  if (at !== null) ahead.value = at - Date.now();
  tick.value = Date.now();
}

/** The server's time, told anew every few seconds. */
export const now = computed(() => tick.value + ahead.value);
export const serverNow = () => Date.now() + ahead.peek();

/** The instants that the page covers: those of the document, which is what is drawn. */
export const span = computed(() => {
  const shown = (
    loaded.value?.document as { window?: { since_ms: number; until_ms: number } } | undefined
  )?.window;
  if (shown !== undefined) return { since: shown.since_ms, until: shown.until_ms };
  return spanOf(address.value.window, now.value);
});

/** When the deployment came that the page has chosen; null where it has chosen none. */
export const chosenAt = signal<number | null>(null);

export type LiveState = "live" | "held" | "connecting" | "silent" | "off";
export const live = signal<LiveState>("off");
export const isPaused = signal(false);

/** Told to everyone who uses a screen reader, and shown for a moment. */
export const said = signal("");
let silence: ReturnType<typeof setTimeout> | undefined;
export function say(text: string): void {
  said.value = text;
  clearTimeout(silence);
  silence = setTimeout(() => {
    said.value = "";
  }, 6_000);
}

export type Theme = "light" | "dark" | "system";
export const theme = signal<Theme>((kept("deploymark-theme") as Theme | null) ?? "system");
export const areKeysOn = signal(kept("deploymark-keys") !== "off");

export function keepTheme(value: Theme): void {
  theme.value = value;
  keep("deploymark-theme", value);
}

export function keepKeys(areOn: boolean): void {
  areKeysOn.value = areOn;
  keep("deploymark-keys", areOn ? "on" : "off");
}

/** Storage may be forbidden; the page then forgets. */
function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Forgotten at the next load.
  }
}
