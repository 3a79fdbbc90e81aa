import { expect, test } from "vitest";
import { neighbour, walked } from "./walk.ts";

test("suspects are walked before the deployments of the stream, each once", () => {
  expect(walked(["a", "b"], ["c", "b", null, "c", "d"])).toEqual(["a", "b", "c", "d"]);
});

test("a step goes to the neighbour, stays at the ends, and begins with the worst", () => {
  const ids = ["a", "b", "c"];
  expect(neighbour(ids, "a", 1)).toBe("b");
  expect(neighbour(ids, "c", 1)).toBe("c");
  expect(neighbour(ids, "a", -1)).toBe("a");
  expect(neighbour(ids, "gone", 1)).toBe("a");
  expect(neighbour([], null, 1)).toBe(null);
});
