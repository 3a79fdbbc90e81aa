import { expect, test } from "vitest";
import { drawList, glyphAt, type Mark, type Scene } from "./marks.ts";
import { change, line, mean, measured, short } from "./series.ts";

const SCENE: Scene = {
  since: 0,
  until: 1000,
  left: 50,
  width: 1000,
  lanes: [10, 30],
  selected: null,
};
const mark = (at_ms: number, state = "healthy", more: Partial<Mark> = {}): Mark => ({
  at_ms,
  lane: 0,
  state,
  count: 1,
  id: `d-${at_ms}~1`,
  service: "cart",
  version: "1",
  ...more,
});

test("a mark stands at its instant, in its lane", () => {
  const { glyphs, lines } = drawList([mark(400, "failed")], SCENE);
  expect(glyphs).toMatchObject([{ x: 450, y: 10, state: "failed", count: 1 }]);
  expect(lines).toMatchObject([{ x: 450, state: "failed" }]);
});

test("in one column of pixels the worst state wins, and all are counted", () => {
  const { glyphs, lines } = drawList(
    [mark(400, "canary"), mark(400.2, "failed"), mark(400.1, "paused")],
    SCENE,
  );
  expect(glyphs).toMatchObject([{ state: "failed", count: 3 }]);
  expect(lines).toHaveLength(1);
});

test("healthy marks are merged per 4 pixels, others per pixel", () => {
  const healthy = Array.from({ length: 1000 }, (_, i) => mark(i));
  expect(drawList(healthy, SCENE).glyphs).toHaveLength(250);
  const failed = Array.from({ length: 100 }, (_, i) => mark(i, "failed"));
  expect(drawList(failed, SCENE).glyphs).toHaveLength(100);
});

test("20,000 marks become no more shapes than there are columns", () => {
  const marks = Array.from({ length: 20_000 }, (_, i) =>
    mark((i * 7) % 1000, i % 97 === 0 ? "failed" : "healthy"),
  );
  const { glyphs, lines } = drawList(marks, SCENE);
  expect(lines.length).toBeLessThanOrEqual(1250);
  expect(glyphs.reduce((sum, glyph) => sum + glyph.count, 0)).toBe(20_000);
});

test("an unhealthy mark is never hidden under healthy ones", () => {
  const { lines } = drawList(
    [...Array.from({ length: 40 }, (_, i) => mark(400 + i / 20)), mark(401, "failed")],
    SCENE,
  );
  expect(lines.at(-1)).toMatchObject({ state: "failed" });
});

test("the selected mark is not merged away and lies on top", () => {
  const { glyphs } = drawList([mark(401, "failed"), mark(402.4, "healthy", { id: "me" })], {
    ...SCENE,
    selected: "me",
  });
  expect(glyphs.at(-1)).toMatchObject({ id: "me", x: 452, isSelected: true, isFaint: false });
});

test("what lies outside of the window is not drawn", () => {
  expect(drawList([mark(-1), mark(1001)], SCENE).lines).toHaveLength(0);
});

test("a mark of a lane that is not drawn is a line, so that it is not lost", () => {
  const { glyphs, lines } = drawList([mark(5, "failed", { lane: 9 })], SCENE);
  expect([glyphs.length, lines.length]).toEqual([0, 1]);
});

test("the nearest glyph within reach is found", () => {
  const list = drawList([mark(400, "failed"), mark(410, "canary")], SCENE);
  expect(glyphAt(list, 459, 12)?.state).toBe("canary");
  expect(glyphAt(list, 500, 12)).toBeNull();
});

test("the line touches every low and every high, the nearer one first", () => {
  const { x, y } = line({ at_ms: [0, 10, 20], low: [1, 2, 5], high: [1, 9, 8], step_ms: 10 });
  expect(x).toEqual([0, 10, 15, 20, 25]);
  expect(y).toEqual([1, 2, 9, 8, 5]);
});

test("missing columns break the line and no value is made up", () => {
  const columns = { at_ms: [0, 10, 60], low: [1, 1, 3], high: [1, 1, 3], step_ms: 10 };
  expect(line(columns)).toEqual({ x: [0, 10, 20, 60], y: [1, 1, null, 3] });
  expect(mean(columns, 20, 60)).toBeNull();
});

test("means are of 30 minutes before and of what there is after", () => {
  const minute = 60_000;
  const at_ms = Array.from({ length: 60 }, (_, i) => i * minute);
  const low = at_ms.map((at) => (at < 40 * minute ? 2 : 6));
  const found = change({ at_ms, low, high: low, step_ms: minute }, 40 * minute, 60 * minute);
  expect(found).toEqual({ before: 2, after: 6, part: 2, lookedMs: 20 * minute });
  expect(change({ at_ms, low, high: low, step_ms: minute }, 60 * minute, 60 * minute)).toBeNull();
});

test("a half hour before of which less than a third was measured is not compared with", () => {
  const minute = 60_000;
  const since = (first: number) => {
    const at_ms = Array.from({ length: 60 - first }, (_, i) => (first + i) * minute);
    const low = at_ms.map(() => 2);
    return change({ at_ms, low, high: low, step_ms: minute }, 40 * minute, 60 * minute);
  };
  expect(since(30)).toMatchObject({ before: 2, after: 2 });
  expect(since(31)).toBeNull();
});

test("what was measured reaches from the first value to the last", () => {
  const columns = { at_ms: [0, 20, 30, 60], low: [1, 1, 1, 1], high: [1, 1, 1, 1], step_ms: 10 };
  expect(measured(columns, 10, 55)).toEqual({ since: 20, until: 40 });
  expect(measured(columns, 10, 25)).toBeNull();
});

test("a column that reaches over the instant counts on neither side", () => {
  const columns = { at_ms: [0, 10, 20], low: [1, 5, 9], high: [1, 5, 9], step_ms: 10 };
  expect([mean(columns, 0, 15), mean(columns, 15, 30)]).toEqual([1, 9]);
});

test("numbers are short and keep what matters", () => {
  expect([0, 0.356, 2.8, 12.34, 353.2, 4648, 2_500_000].map(short)).toEqual([
    "0",
    "0.36",
    "2.80",
    "12.3",
    "353",
    "4.6k",
    "2.5M",
  ]);
});
