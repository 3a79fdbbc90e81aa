import { expect, test } from "vitest";
import { ticks } from "./axis.ts";
import { ago, clock, dated, exact, parsed, spelled, written } from "./instant.ts";
import { centreOf, panned, spanOf, zoomed } from "./window.ts";

const NOW = Date.UTC(2026, 10, 22, 2, 0);
const HOUR = 3_600_000;

test("a named range ends now", () => {
  expect(spanOf({ range: "1h" }, NOW)).toEqual({ since: NOW - HOUR, until: NOW });
});

test("panning later never looks into the future and keeps the length", () => {
  const span = { since: NOW - 3 * HOUR, until: NOW - 2 * HOUR };
  expect(panned(span, -0.5, NOW)).toEqual({ since: NOW - 3.5 * HOUR, until: NOW - 2.5 * HOUR });
  expect(panned(span, 9, NOW)).toEqual({ since: NOW - HOUR, until: NOW });
});

test("zooming keeps the instant under the pointer where it is", () => {
  const span = { since: NOW - 4 * HOUR, until: NOW };
  const near = zoomed(span, 0.5, NOW - HOUR, NOW);
  expect(near.until - near.since).toBe(2 * HOUR);
  expect((NOW - HOUR - near.since) / (2 * HOUR)).toBeCloseTo(0.75);
});

test("zooming keeps what is chosen in place, else the end that is now, else the middle", () => {
  const span = { since: NOW - 4 * HOUR, until: NOW };
  expect(centreOf(span, NOW - HOUR, true)).toBe(NOW - HOUR);
  expect(centreOf(span, NOW - 5 * HOUR, true)).toBe(NOW);
  expect(centreOf(span, null, true)).toBe(NOW);
  expect(centreOf(span, null, false)).toBe(NOW - 2 * HOUR);
  expect(zoomed(span, 2, NOW - HOUR, NOW + HOUR).until).toBe(NOW + HOUR);
});

test("zooming stops at a minute", () => {
  const span = zoomed({ since: NOW - 60_000, until: NOW }, 0.1, NOW, NOW);
  expect(span.until - span.since).toBe(60_000);
});

test("times show dates when the window exceeds a day", () => {
  expect(written(NOW - 6 * HOUR, NOW)).toBe("11-21 20:00 – 02:00");
  expect(written(NOW - 168 * HOUR, NOW)).toBe("11-15 02:00 – 11-22 02:00");
});

test("ticks stand on round instants, and midnight is told by its date", () => {
  const found = ticks(NOW - 6 * HOUR, NOW, 965);
  expect(found.map((tick) => tick.label)).toContain("20:30");
  expect(found.find((tick) => tick.at === Date.UTC(2026, 10, 22))?.label).toBe("11-22");
  expect(found.every((tick) => tick.at % (HOUR / 2) === 0)).toBe(true);
});

test("ticks are never nearer than asked", () => {
  for (const hours of [0.25, 1, 6, 24, 168, 2000]) {
    const found = ticks(NOW - hours * HOUR, NOW, 300);
    expect(found.length).toBeLessThanOrEqual(300 / 72 + 1);
  }
});

test("lengths are told in one unit, and what lies ahead as such", () => {
  expect(ago(NOW - 21 * 60_000, NOW)).toBe("21m ago");
  expect(ago(NOW - 32 * HOUR, NOW)).toBe("32h ago");
  expect(ago(NOW + 60_000, NOW)).toBe("in 1m");
});

test("nonsense is no instant", () => {
  expect(parsed("yesterday")).toBeNull();
  expect(exact(Number.NaN)).toBe("–");
  expect(exact(0)).toBe("1970-01-01 00:00:00.000 UTC");
});

test("a date of another year says which, and a day of a change of clocks has no gap", () => {
  expect(dated(NOW - HOUR, NOW)).toBe("11-22 01:00");
  expect(dated(NOW - 400 * 24 * HOUR, NOW)).toMatch(/^\d{4}-\d\d-\d\d 02:00$/);
  const change = Date.UTC(2026, 9, 25, 0, 30);
  expect([0, 1, 2, 3].map((hours) => clock(change + hours * HOUR))).toEqual([
    "00:30",
    "01:30",
    "02:30",
    "03:30",
  ]);
});

test("lengths are spelled in units that people count in", () => {
  expect([spelled(0), spelled(119_999), spelled(120_000)]).toEqual(["0 s", "119 s", "2 min"]);
  expect([spelled(HOUR), spelled(16_500_000)]).toEqual(["1 h", "4 h 35 min"]);
  expect([spelled(48 * HOUR), spelled(74.9 * HOUR)]).toEqual(["2 days", "3 days 2 h"]);
});
