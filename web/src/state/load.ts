// Brings the document of the page that the address names. One request at a time; what comes too
// late is thrown away. A document that cannot be made anew stays, and the problem says so.

import { type Address, formatPath, formatQuery, TAKES } from "../address/address.ts";
import { againIn, ask, Problem } from "../api/client.ts";
import type { AnyDocument, BootProblem } from "../api/documents.ts";
import {
  address,
  againMs,
  boot,
  isLoading,
  loaded,
  problem,
  seeServerTime,
  session,
} from "./app.ts";

let asking: AbortController | null = null;
let askedKey = "";
let retry: ReturnType<typeof setTimeout> | undefined;
const APART_MS = 150;
let beganMs = Number.NEGATIVE_INFINITY;

/** The selection of most pages changes nothing of their document. */
export function keyOf(to: Address): string {
  const selected = to.page === "debug" ? to.selected : null;
  return `${formatPath(to)}?${formatQuery({ ...to, selected })}`;
}

/** Columns that the charts have here; what is merged per column is merged by the server. */
export function columns(): number {
  const side = innerWidth >= 1100 ? 350 : 0;
  return Math.round(Math.min(2_000, Math.max(240, innerWidth - side - 110)));
}

export function documentAddress(to: Address): string {
  const query = new URLSearchParams(formatQuery(to));
  if (TAKES[to.page].window) query.set("width", String(columns()));
  const text = query.toString();
  return formatPath(to) + (text ? `?${text}` : "");
}

/** Take what the HTML carried, or ask for it. */
export function begin(): void {
  if (boot.document !== null && boot.page === address.peek().page) {
    take(address.peek(), boot.document as AnyDocument);
    // The HTML carries the worst marks only, so that it is small.
    const { marks } = boot.document as { marks?: { left_out: number } };
    if ((marks?.left_out ?? 0) > 0) setTimeout(() => void load());
  } else if (boot.problem !== null) {
    const { again_seconds: seconds } = boot.problem;
    if (session.peek() !== null) fail(boot.problem, seconds === null ? null : seconds * 1_000);
  } else if (session.peek() !== null) {
    void load();
  }
}

/** Say what went wrong, and ask again where that helps. */
function fail(told: BootProblem, saidMs: number | null): void {
  problem.value = told;
  againMs.value = againIn(told, saidMs);
  if (againMs.value !== null) loadIn(againMs.value);
}

/**
 * Ask for what the address names now. Keys that are held down name many windows in a second: each
 * of them waits for the last one asked for, and only the newest is asked for then.
 */
export function loadNext(): void {
  const waitMs = beganMs + APART_MS - performance.now();
  if (waitMs <= 0) {
    void load();
    return;
  }
  isLoading.value = true;
  loadIn(waitMs);
}

/** Wait no longer for what the address does not name any more. */
export function forget(): void {
  if (asking === null || askedKey === keyOf(address.peek())) return;
  asking.abort();
  asking = null;
  isLoading.value = false;
}

function loadIn(ms: number): void {
  clearTimeout(retry);
  retry = setTimeout(() => void load(), ms);
}

export async function load(): Promise<void> {
  const to = address.peek();
  if (session.peek() === null || to.page === "unknown") return;
  asking?.abort();
  clearTimeout(retry);
  const mine = new AbortController();
  asking = mine;
  askedKey = keyOf(to);
  beganMs = performance.now();
  isLoading.value = true;
  try {
    const document = await ask<AnyDocument>(documentAddress(to), { signal: mine.signal });
    if (asking !== mine) return;
    if (isPassed(to)) {
      loaded.value = { key: keyOf(to), page: to.page, document };
      return;
    }
    problem.value = null;
    againMs.value = null;
    take(to, document);
  } catch (error) {
    if (asking !== mine || mine.signal.aborted || isPassed(to)) return;
    if (!(error instanceof Problem)) throw error;
    if (loaded.peek()?.key !== keyOf(to)) loaded.value = null;
    fail(error.told, error.againMs);
  } finally {
    if (asking === mine) isLoading.value = isPassed(to);
  }
}

/** While a key is held down, the window goes on; what it leads to is asked for behind this. */
const isPassed = (to: Address) => keyOf(to) !== keyOf(address.peek());

function take(to: Address, document: AnyDocument): void {
  seeServerTime(document.now_at);
  loaded.value = { key: keyOf(to), page: to.page, document };
  // What is still being counted comes by itself, without anybody loading the page again.
  const waits = (document.missing ?? []).flatMap((each) => each.again_seconds ?? []);
  if (waits.length > 0) loadIn(Math.min(...waits) * 1_000);
}
