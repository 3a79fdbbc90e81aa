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

/** "+2.5", "−0.1"; what rounds to none has no sign. */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}

export const points = (value: number) => `${signed(value, 1)} pp`;

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
  waiting: "being counted",
};

/** Beside or under a heading that names errors: "+2.5 pp", "no change", "too early". */
export function deltaValue(delta: ErrorDelta | null): string {
  if (delta === null) return "no telemetry";
  if (delta.points === null) return NO_DELTA[delta.result] ?? "no telemetry";
  if (Number(delta.points.toFixed(1)) !== 0) return points(delta.points);
  if (delta.result === "worse") return "up by less than 0.1 pp";
  return delta.result === "better" ? "down by less than 0.1 pp" : "no change";
}

/** As `deltaValue`, where nothing else names errors: "errors +2.5 pp". */
export function deltaWords(delta: ErrorDelta | null): string {
  const value = deltaValue(delta);
  if (delta === null || delta.points === null) return value;
  return value === "no change" ? "errors unchanged" : `errors ${value}`;
}

export function isWorse(delta: ErrorDelta | null): boolean {
  return delta?.result === "worse";
}

interface Covered {
  confirmed: number;
  unproven: number;
  mismatched: number;
  expected: number | null;
}

/** How many instances of a place are confirmed. While one deployment takes the place of another,
 * more may run than are expected; then what is expected is no whole that they are part of. */
export function coverageWords(seen: Covered, deployments: number): string {
  const { confirmed, expected } = seen;
  const all = confirmed + seen.unproven + seen.mismatched;
  if (expected === null && all === 0) return "no instance reports";
  if (expected === null || all <= expected)
    return `${count(confirmed)} of ${count(expected ?? all)} confirmed`;
  const part = confirmed === all ? count(confirmed) : `${count(confirmed)} of ${count(all)}`;
  const why = deployments > 1 ? ": old and new run" : "";
  return `${part} confirmed, ${count(expected)} expected${why}`;
}

/** Every count of a place; of a part of one nothing about what is expected, which nobody says. */
export function instanceWords(seen: Covered, isPart: boolean): string {
  const expected =
    seen.expected === null
      ? "how many should run is not known"
      : `${count(seen.expected)} expected`;
  return [
    `${count(seen.confirmed)} confirmed`,
    seen.unproven > 0 ? `${count(seen.unproven)} unproven` : "",
    seen.mismatched > 0 ? `${count(seen.mismatched)} run another artifact` : "",
    isPart ? "" : expected,
  ]
    .filter(Boolean)
    .join(" · ");
}

const SOURCES: Record<string, string> = { ci: "CI", human: "person" };

/** The kinds of emitters that spoke of a deployment. */
export function sourceWords(sources: readonly { kind: string; seen: boolean }[]): string {
  const heard = sources.filter((source) => source.seen);
  return heard.map(({ kind }) => SOURCES[kind] ?? kind).join(", ") || "nobody";
}

export const sentence = (text: string) => text.replaceAll("_", " ");
