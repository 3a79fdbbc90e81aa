import { expect, test } from "vitest";
import { EventReader } from "./events.ts";
import { added, MOST_ROWS, type Rows, released } from "./rows.ts";
import { rowWords, saidWords, toneState } from "./said.ts";

const row = (index: number) => ({ index });
const none: Rows<{ index: number }> = { shown: [], waiting: [] };
const indexes = (rows: readonly { index: number }[]) => rows.map((each) => each.index);

test("events are read wherever the text is cut", () => {
  const text =
    'retry: 1000\n: here\nid: 6\n\nid: 7\ndata: {"a":\ndata: 1}\n\nid: 9\nevent: reset\ndata: {}\n\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new EventReader();
    expect([...reader.push(text.slice(0, cut)), ...reader.push(text.slice(cut))]).toEqual([
      { kind: "alive", id: 6 },
      { kind: "event", id: 7, type: "message", data: '{"a":\n1}' },
      { kind: "event", id: 9, type: "reset", data: "{}" },
    ]);
  }
});

test("a comment says that the server is alive, and where the stream stands", () => {
  expect(new EventReader().push(": here\nid: -1\n\n")).toEqual([{ kind: "alive", id: -1 }]);
});

test("each index is shown once, the newest first, in whatever order they come", () => {
  let rows = added(none, [row(1), row(3)], false);
  rows = added(rows, [row(2), row(3), row(1)], false);
  expect(indexes(rows.shown)).toEqual([3, 2, 1]);
});

test("while someone points at a row, what is shown stays and new rows wait", () => {
  const before = added(none, [row(1), row(2)], false);
  const held = added(before, [row(3), row(2)], true);
  expect(held.shown).toBe(before.shown);
  expect(indexes(held.waiting)).toEqual([3]);
  expect(indexes(released(held).shown)).toEqual([3, 2, 1]);
  expect(indexes(added(held, [], false).shown)).toEqual([3, 2, 1]);
});

test("the rows are bounded, and what fell off does not come back", () => {
  const many = Array.from({ length: MOST_ROWS + 10 }, (_, i) => row(i));
  const rows = added(none, many, false);
  expect(rows.shown).toHaveLength(MOST_ROWS);
  expect(added(rows, [row(0)], false)).toBe(rows);
});

test("a minute of 20 rows a second, delivered twice and in pieces, is complete and without repeats", () => {
  let rows = none;
  for (let i = 0; i < 1200; i += 5) {
    const piece = Array.from({ length: 8 }, (_, k) => row(i + k)).filter(
      (each) => each.index < 1200,
    );
    rows = added(rows, piece, i % 3 === 0);
  }
  const shown = indexes(released(rows).shown);
  expect(shown).toEqual(Array.from({ length: MOST_ROWS }, (_, i) => 1199 - i));
});

test("an event has the glyph and words of what it said", () => {
  expect([toneState("marker", "planned"), saidWords("marker", "planned")]).toEqual([
    "planned",
    "planned",
  ]);
  expect(toneState("marker", "rolling_back")).toBe("rolling_back");
  expect([toneState("verdict", "fail"), saidWords("verdict", "fail")]).toEqual([
    "failed",
    "verdict fail",
  ]);
  expect(toneState("decision", "roll_back decided")).toBe("rolling_back");
  expect(toneState("decision", "roll_back outcome")).toBe(null);
  expect(toneState("finding", "opened")).toBe(null);
});

test("a row says what it is about where it is about no service", () => {
  const nothing = { service: null, who: null, place: null };
  const missing = { type: "finding", ...nothing, sentence: "marker_missing: One never arrived." };
  expect(rowWords(missing)).toEqual({ title: "marker missing", about: "One never arrived." });
  const freeze = { type: "decision", ...nothing, who: "ana", sentence: "Freeze of prod." };
  expect(rowWords(freeze)).toEqual({ title: "Freeze of prod.", about: "ana" });
  expect(rowWords({ ...missing, service: "cart", place: "prod" })).toEqual({
    title: "cart",
    about: "marker missing · prod",
  });
  expect(rowWords({ ...freeze, type: "marker", service: "cart" })).toEqual({
    title: "cart",
    about: "ana",
  });
});
