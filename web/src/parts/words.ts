// How things are said: shares, points, counts, digests. Pure.

import type { ErrorDelta } from "../api/documents.ts";

const COUNT = new Intl.NumberFormat("en-US");

export const count = (number: number) => COUNT.format(number);

/** "1 emitter", "2 emitters". */
export const counted = (number: number, one: string, many = `${one}s`) =>
  `${count(number)} ${number === 1 ? one : many}`;

export function share(value: number | null | undefined, digits = 2): string {
  return value === null || value === undefined ? "–" : `${(value * 100).toFixed(digits)} %`;
}

export function points(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)} pp`;
}

export function score(value: number | null): string {
  return value === null ? "–" : value.toFixed(0);
}

/** Enough of a digest to tell it from others, without its algorithm. */
export function shortDigest(digest: string): string {
  return digest.replace(/^[a-z0-9]+:/, "").slice(0, 12);
}

export function shortId(id: string): string {
  const [stem = "", occurrence] = id.split("~");
  return `${stem.slice(0, 10)}…${occurrence ? `~${occurrence}` : ""}`;
}

/** Limits are never silent: "1,000 of 12,340". */
export function shownOf(shown: number, total: number): string {
  return shown < total ? `${count(shown)} of ${count(total)} shown` : count(total);
}

const NO_DELTA: Record<string, string> = {
  no_telemetry: "no telemetry",
  not_live: "not live yet",
  not_yet: "too early",
  not_kept: "no longer kept",
};

export function deltaWords(delta: ErrorDelta | null): string {
  if (delta === null) return "no telemetry";
  if (delta.points === null) return NO_DELTA[delta.result] ?? "no telemetry";
  return `errors ${points(delta.points)}`;
}

export function isWorse(delta: ErrorDelta | null): boolean {
  return delta?.result === "worse";
}

export const sentence = (text: string) => text.replaceAll("_", " ");
