// Follows /v1/stream. It rings when the log has grown, at most four times a second, and tells
// whether the server is heard: after two missed heartbeats it is not. What is new is asked for by
// whoever is rung. Reconnects by itself, from where it stood.

import { live, session } from "../state/app.ts";
import { EventReader, type Told } from "./events.ts";

const APART_MS = 250;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export interface Following {
  /** The last entry that is known, -1 for none. */
  after: number;
  heartbeatSeconds: number;
  /** The log has entries up to here. */
  onNews: (index: number) => void;
  /** What was shown cannot be continued: read it afresh. */
  onReset: () => void;
}

export function follow(following: Following): () => void {
  const end = new AbortController();
  void keepFollowing(following, end.signal);
  return () => end.abort();
}

async function keepFollowing(following: Following, end: AbortSignal): Promise<void> {
  let { after } = following;
  let wait = FIRST_WAIT_MS;
  const bell = new Bell(following.onNews);
  live.value = "connecting";
  while (!end.aborted) {
    try {
      for await (const told of listen(after, following.heartbeatSeconds, end)) {
        wait = FIRST_WAIT_MS;
        live.value = "live";
        if (told.id !== null) after = told.id;
        if (told.kind === "event" && told.type === "reset") following.onReset();
        else if (told.kind === "event") bell.ring(after);
      }
    } catch (error) {
      if (end.aborted) break;
      if (error instanceof SignedOut) {
        live.value = "off";
        session.value = null;
        return;
      }
      if (error instanceof Silent) live.value = "silent";
    }
    if (!end.aborted) await sleep(wait);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
    if (live.peek() === "live") live.value = "connecting";
    else if (wait > 4 * FIRST_WAIT_MS) live.value = "silent";
  }
  bell.stop();
}

class Silent extends Error {}
class SignedOut extends Error {}

async function* listen(
  after: number,
  heartbeatSeconds: number,
  end: AbortSignal,
): AsyncGenerator<Told> {
  const stop = new AbortController();
  const abort = () => stop.abort();
  end.addEventListener("abort", abort);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(timer);
    // Two heartbeats missed, and half of one for the way.
    timer = setTimeout(() => stop.abort(new Silent()), heartbeatSeconds * 2_500);
  };
  heard();
  try {
    const answer = await fetch(`/v1/stream?after=${Math.max(-1, after)}`, {
      headers: { Accept: "text/event-stream", "Last-Event-ID": String(Math.max(-1, after)) },
      credentials: "same-origin",
      cache: "no-store",
      signal: stop.signal,
    });
    if (answer.status === 401) throw new SignedOut();
    if (!answer.ok || answer.body === null) throw new Silent();
    const reader = new EventReader();
    const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return;
      heard();
      yield* reader.push(value);
    }
  } finally {
    clearTimeout(timer);
    end.removeEventListener("abort", abort);
    stop.abort();
  }
}

/** Rings at once, then at most every quarter of a second, and never forgets the last call. */
class Bell {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last: number | null = null;

  constructor(private readonly heard: (index: number) => void) {}

  ring(index: number): void {
    this.last = index;
    if (this.timer === undefined) this.sound();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private sound(): void {
    const index = this.last;
    this.last = null;
    this.timer = undefined;
    if (index === null) return;
    this.timer = setTimeout(() => this.sound(), APART_MS);
    this.heard(index);
  }
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));
