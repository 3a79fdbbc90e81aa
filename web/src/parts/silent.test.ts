import { expect, test } from "vitest";
import { missingMarkers } from "./silent.ts";

test("a place says of which services markers are missing there", () => {
  expect(missingMarkers({ missing_services: ["cart", "checkout"] })).toBe(
    "no markers of cart, checkout",
  );
  expect(missingMarkers({ missing_services: [] })).toBe("no markers");
  expect(missingMarkers({})).toBe("no markers");
});
