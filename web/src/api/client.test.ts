import { expect, test } from "vitest";
import { readRetryAfter } from "./client.ts";

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
