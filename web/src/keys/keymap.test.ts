import { expect, test } from "vitest";
import { BINDINGS, type Command, Keymap } from "./keymap.ts";

const press = (key: string, more: object = {}) => ({
  key,
  ctrl: false,
  meta: false,
  alt: false,
  at: 0,
  isTaken: false,
  ...more,
});

test.each([
  ["j", "next"],
  ["k", "previous"],
  ["Enter", "open"],
  ["c", "compare"],
  ["r", "roll-back"],
  ["y", "copy-link"],
  ["/", "filter"],
  ["f", "freeze"],
  ["[", "pan-earlier"],
  ["]", "pan-later"],
  ["+", "zoom-in"],
  ["-", "zoom-out"],
  ["l", "pause"],
  ["?", "help"],
  ["Escape", "close"],
])("%s means %s", (key, command) => {
  expect(new Keymap().press(press(key), true)).toBe(command);
});

test("the palette opens by ctrl and by command, also while typing", () => {
  expect(new Keymap().press(press("k", { ctrl: true, isTaken: true }), true)).toBe("palette");
  expect(new Keymap().press(press("k", { meta: true }), false)).toBe("palette");
});

test("g waits for one letter, and not for long", () => {
  const keys = new Keymap();
  expect(keys.press(press("g"), true)).toBeNull();
  expect(keys.press(press("d", { at: 500 }), true)).toBe("go-deployments");
  expect(keys.press(press("g", { at: 600 }), true)).toBeNull();
  expect(keys.press(press("d", { at: 5000 }), true)).toBeNull();
});

test("typing into a field means nothing else", () => {
  const keys = new Keymap();
  expect(keys.press(press("r", { isTaken: true }), true)).toBeNull();
  expect(keys.press(press("g", { isTaken: true }), true)).toBeNull();
  expect(keys.press(press("d"), true)).toBeNull();
});

test("switched off, only the palette and closing are left", () => {
  const left = (Object.keys(BINDINGS) as Command[]).filter((command) => {
    const keys = new Keymap();
    const [binding = ""] = BINDINGS[command].keys;
    let found: Command | null = null;
    for (const key of binding.split(" ")) {
      const [modifier, plain] = key.startsWith("ctrl-") ? [true, key.slice(5)] : [false, key];
      found = keys.press(press(plain, { ctrl: modifier }), false);
    }
    return found !== null;
  });
  expect(left.sort()).toEqual(["close", "palette"]);
});

test("no two commands share a key", () => {
  const all = Object.values(BINDINGS).flatMap((binding) => binding.keys);
  expect(new Set(all).size).toBe(all.length);
});

test("other combinations belong to the browser", () => {
  expect(new Keymap().press(press("r", { ctrl: true }), true)).toBeNull();
  expect(new Keymap().press(press("c", { meta: true }), true)).toBeNull();
  expect(new Keymap().press(press("j", { alt: true }), true)).toBeNull();
});
