import { expect, test } from "vitest";
import type { ErrorDelta } from "../api/documents.ts";
import {
  coverageWords,
  deltaValue,
  deltaWords,
  instanceWords,
  points,
  signed,
  sourceWords,
} from "./words.ts";

function delta(value: number | null, result: ErrorDelta["result"]): ErrorDelta {
  return {
    before: 0.01,
    after: 0.01,
    points: value,
    low: value,
    high: value,
    before_requests: 100,
    after_requests: 100,
    after_seconds: 60,
    result,
  };
}

test("what rounds to none has no sign", () => {
  expect([signed(-0.04, 1), signed(0.04, 1), signed(0, 1)]).toEqual(["0.0", "0.0", "0.0"]);
  expect([signed(-0.06, 1), signed(2.46, 1), signed(-3, 0)]).toEqual(["−0.1", "+2.5", "−3"]);
  expect(points(-0.001)).toBe("0.0 pp");
});

test("errors that did not change are said in words", () => {
  expect(deltaWords(delta(-0.0086, "same"))).toBe("errors unchanged");
  expect(deltaValue(delta(0.0499, "same"))).toBe("no change");
  expect(deltaWords(delta(-0.16, "same"))).toBe("errors −0.2 pp");
});

test("a change that is proven and small is no lack of change", () => {
  expect(deltaWords(delta(0.03, "worse"))).toBe("errors up by less than 0.1 pp");
  expect(deltaValue(delta(-0.03, "better"))).toBe("down by less than 0.1 pp");
});

test("why nothing is compared is said, and never as a lack of telemetry that is there", () => {
  expect(deltaWords(null)).toBe("no telemetry");
  expect(deltaWords(delta(null, "not_yet"))).toBe("too early");
  expect(deltaWords(delta(null, "waiting"))).toBe("being counted");
});

test.each<[string, number, number, number, number | null, number]>([
  ["no instance reports", 0, 0, 0, null, 0],
  ["0 of 2 confirmed", 0, 0, 0, 2, 0],
  ["2 of 2 confirmed", 2, 0, 0, 2, 1],
  ["2 of 3 confirmed", 2, 0, 0, 3, 1],
  ["3 of 4 confirmed", 3, 1, 0, null, 1],
  ["3 confirmed, 2 expected: old and new run", 3, 0, 0, 2, 2],
  ["2 of 3 confirmed, 2 expected: old and new run", 2, 1, 0, 2, 2],
  ["3 confirmed, 2 expected", 3, 0, 0, 2, 1],
])("instances are told so that no part is more than its whole: %s", (said, ...told) => {
  const [confirmed, unproven, mismatched, expected, versions] = told;
  expect(coverageWords({ confirmed, unproven, mismatched, expected }, versions)).toBe(said);
});

test("a zone is not said to lack what is expected of its whole cluster", () => {
  const zone = { confirmed: 1, unproven: 0, mismatched: 1, expected: 3 };
  expect(instanceWords(zone, true)).toBe("1 confirmed · 1 run another artifact");
  expect(instanceWords(zone, false)).toBe("1 confirmed · 1 run another artifact · 3 expected");
  expect(instanceWords({ ...zone, mismatched: 0, expected: null }, false)).toBe(
    "1 confirmed · how many should run is not known",
  );
});

test("who spoke of a deployment is told by the plain names of their kinds", () => {
  const said = (kind: string, seen = true) => ({ kind, seen });
  expect(sourceWords([said("ci"), said("orchestrator"), said("proxy", false)])).toBe(
    "CI, orchestrator",
  );
  expect(sourceWords([said("human")])).toBe("person");
  expect(sourceWords([said("ci", false)])).toBe("nobody");
});
