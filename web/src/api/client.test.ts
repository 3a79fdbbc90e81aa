import { expect, test } from "vitest";
import { againIn, readRetryAfter } from "./client.ts";

const NOW = Date.parse("2026-11-23T12:00:00Z");

test.each([
  ["seconds", "7", 7_000],
  ["at once", "0", 0],
  ["a date", "Mon, 23 Nov 2026 12:00:30 GMT", 30_000],
  ["a date that is over", "Mon, 23 Nov 2026 11:59:00 GMT", 0],
  ["more than anybody waits", "86400", 300_000],
  ["nothing", null, null],
  ["no number and no date", "soon", null],
])("a server that says %s is asked again then", (_, said, wanted) => {
  expect(readRetryAfter(said, NOW)).toBe(wanted);
});

const told = (status: number, retryable: boolean) => ({
  status,
  retryable,
  code: "",
  title: "",
  detail: "",
  hint: "",
  instead: null,
  again_seconds: null,
});

test.each([
  ["busy, and says when", told(429, true), 30_000, 30_000],
  ["busy, and says nothing", told(429, false), null, 5_000],
  ["not ready, and says when", told(503, false), 2_000, 2_000],
  ["not ready, and says at once", told(503, true), 0, 1_000],
  ["not to be reached", told(0, true), null, 5_000],
  ["without such a page", told(404, true), 2_000, null],
  ["refusing what is asked", told(400, false), null, null],
  ["broken for good", told(500, false), null, null],
])("a server that is %s is asked again or not", (_, problem, saidMs, wanted) => {
  expect(againIn(problem, saidMs)).toBe(wanted);
});
