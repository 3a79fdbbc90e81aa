// Keeps the present page live: follows the stream while somebody is signed in, tells whoever asked
// that there is news, and makes the document anew now and then. Which rows are new is not known here.

import { effect } from "@preact/signals";
import {
  address,
  boot,
  isPaused,
  live,
  loaded,
  problem,
  serverNow,
  session,
} from "../state/app.ts";
import { load } from "../state/load.ts";
import { follow } from "./stream.ts";

const RENEW_MS = 5_000;
/** A window that ends now moves on without news too. */
const MOVE_ON_MS = 60_000;
/** Pages that are made anew by themselves; lists that are being read stay as they are. */
const RENEWED = new Set(["oncall", "deployment", "fleet", "services"]);

type Listener = (index: number) => void;
const listeners = new Set<Listener>();
let renewing: ReturnType<typeof setTimeout> | undefined;
let renewedAt = 0;

/** Be told that the log has grown, up to an index. */
export function onNews(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function startLive(): void {
  effect(() => {
    if (session.value === null) {
      live.value = "off";
      return;
    }
    return follow({
      after: (loaded.peek()?.document.as_of ?? 0) - 1,
      heartbeatSeconds: boot.settings.heartbeat_seconds,
      onNews: (index) => {
        for (const listener of listeners) listener(index);
        renewSoon();
      },
      onReset: () => void load(),
    });
  });
  setInterval(() => {
    if ("range" in address.peek().window && Date.now() - renewedAt > MOVE_ON_MS) renewSoon();
  }, MOVE_ON_MS / 4);
}

function renewSoon(): void {
  if (renewing !== undefined || !RENEWED.has(address.peek().page)) return;
  const wait = Math.max(0, renewedAt + RENEW_MS - Date.now());
  renewing = setTimeout(() => {
    renewing = undefined;
    if (isPaused.peek() || document.hidden || session.peek() === null) return;
    // What was refused stays refused, and what is busy is asked when it said: see load.ts.
    if (problem.peek() !== null) return;
    // Who looks at the past is not disturbed by the present.
    const { window } = address.peek();
    if (
      address.peek().page === "oncall" &&
      "until" in window &&
      window.until < serverNow() - MOVE_ON_MS
    )
      return;
    renewedAt = Date.now();
    void load();
  }, wait);
}
