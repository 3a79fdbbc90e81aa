// Asks the server, with the session's cookie, and with its CSRF token where something changes.
// Whatever goes wrong becomes a Problem, which says what happened and what to do. Keeps no state but
// the token and what to do when the session has ended; shows nothing.

import type { BootProblem } from "./documents.ts";

export class Problem extends Error {
  /** When to ask again: in so many milliseconds, null where nobody said. */
  constructor(
    readonly told: BootProblem & { field?: string; incident?: string },
    readonly againMs: number | null = null,
  ) {
    super(told.detail);
  }
}

/** What Retry-After says, seconds or a date (RFC 9110, 10.2.3), in milliseconds from now. */
export function readRetryAfter(said: string | null, nowMs: number): number | null {
  if (said === null) return null;
  const told = /^\d+$/.test(said.trim()) ? Number(said) * 1_000 : Date.parse(said) - nowMs;
  return Number.isNaN(told) ? null : Math.min(Math.max(told, 0), LONGEST_MS);
}

/** How long to wait before asking again where the server does not say. */
const USUAL_MS = 5_000;
/** A server that says "at once" is not asked in a circle. */
const SHORTEST_MS = 1_000;

/**
 * When a page asks again by itself: when the server said, where it was busy (429) or not there (5xx,
 * or no answer). Null where asking again would change nothing, as with every other 4xx.
 */
export function againIn(told: BootProblem, saidMs: number | null): number | null {
  const isRefused = told.status >= 400 && told.status < 500 && told.status !== 429;
  const isSaid = saidMs !== null && (told.status === 429 || told.status === 503);
  if (isRefused || !(told.retryable || isSaid || told.status === 429)) return null;
  return Math.max(SHORTEST_MS, saidMs ?? USUAL_MS);
}

/** What something between here and the server says may be nonsense. */
const LONGEST_MS = 300_000;

let csrfToken: string | null = null;
let onSignedOut: () => void = () => {};

/** Called with the token of each new session, and once with what to do when there is none. */
export function useSession(token: string | null, signedOut?: () => void): void {
  csrfToken = token;
  if (signedOut !== undefined) onSignedOut = signedOut;
}

export interface Asked {
  method?: "GET" | "POST" | "DELETE";
  body?: unknown;
  accept?: string;
  signal?: AbortSignal;
  /** A 401 is an answer here, not the end of the session. */
  isSignIn?: boolean;
}

/** The JSON of an answer. */
export async function ask<T>(address: string, asked: Asked = {}): Promise<T> {
  const answer = await send(address, asked);
  return (answer.status === 204 ? null : await answer.json()) as T;
}

export async function askText(address: string, asked: Asked = {}): Promise<string> {
  return (await send(address, { accept: "text/plain", ...asked })).text();
}

/** An answer of 2xx; everything else is thrown as a Problem. */
export async function send(address: string, asked: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: asked.accept ?? "application/json" };
  const method = asked.method ?? "GET";
  if (asked.body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && csrfToken !== null) headers["X-CSRF-Token"] = csrfToken;
  let answer: Response;
  try {
    answer = await fetch(address, {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      ...(asked.body === undefined ? {} : { body: JSON.stringify(asked.body) }),
      ...(asked.signal === undefined ? {} : { signal: asked.signal }),
    });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw new Problem(UNREACHABLE);
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && !asked.isSignIn) onSignedOut();
  const again = readRetryAfter(answer.headers.get("Retry-After"), Date.now());
  throw new Problem(await readProblem(answer), again);
}

const UNREACHABLE: BootProblem = {
  status: 0,
  code: "unreachable",
  title: "The server does not answer",
  detail: "The server cannot be reached from here.",
  hint: "Look whether it runs and whether your network reaches it.",
  retryable: true,
  instead: null,
  again_seconds: null,
};

const UNSAID = {
  hint: "",
  detail: "",
  code: "",
  retryable: false,
  instead: null,
  again_seconds: null,
};

async function readProblem(answer: Response): Promise<BootProblem> {
  try {
    const told = await answer.json();
    if (typeof told.title === "string") return { ...UNSAID, ...told };
  } catch {
    // Not JSON: something between here and the server answered.
  }
  return {
    status: answer.status,
    code: "unexpected",
    title: `Answered with ${answer.status}`,
    detail: "Something between this page and the server answered in its place.",
    hint: "Try again; if it stays, look at the proxy before the server.",
    retryable: answer.status >= 500,
    instead: null,
    again_seconds: null,
  };
}
