import { expect, test } from "vitest";
import type { SeriesSet } from "../../api/documents.ts";
import { counted, meansOf } from "./changes.ts";

const MINUTE = 60_000;

function found(name: string, unit: string, values: readonly number[]): SeriesSet {
  const at_ms = values.map((_, i) => i * MINUTE);
  const items = [{ name, unit, step_ms: MINUTE, at_ms, low: values, high: values }];
  return { now_at: new Date(60 * MINUTE).toISOString(), items } as unknown as SeriesSet;
}

const halves = (before: number, after: number) =>
  Array.from({ length: 60 }, (_, i) => (i < 30 ? before : after));

test("the mean of a share is told in percent, as its chart shows it", () => {
  const { saturation } = meansOf(found("saturation", "share", halves(0.25, 0.5)), 30 * MINUTE);
  expect(saturation).toMatchObject({ before: 25, after: 50, part: 1 });
});

test("the mean of what is no share stays as it is", () => {
  const { latency_p95 } = meansOf(found("latency_p95", "ms", halves(8, 12)), 30 * MINUTE);
  expect(latency_p95).toMatchObject({ before: 8, after: 12 });
});

test("errors are the server's count, where the half hour before was measured", () => {
  const errors = { before: 1, after: 2, part: 1, lookedMs: MINUTE };
  const measured = { ...errors, before: 9 };
  expect(counted({ errors: measured }, errors)).toEqual({ errors });
  expect(counted({}, errors)).toEqual({});
  expect(counted({ errors: measured }, null)).toEqual({});
});
