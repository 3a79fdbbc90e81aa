import { expect, test } from "vitest";
import { at, carried, formatAddress, isOnlySelection, parseAddress } from "./address.ts";
import { excludes, parseFilter, takes, withTerm } from "./filter.ts";

const read = (text: string) => {
  const url = new URL(text, "https://example.com");
  return parseAddress(url.pathname, url.search);
};

test.each([
  "/oncall",
  "/oncall?range=7d",
  "/oncall?since=2026-11-22T00:00:00.000Z&until=2026-11-22T02:00:00.000Z&q=svc:checkout+st:failed&dep=d-abc~2",
  "/debug?dep=d-abc~1",
  "/exec",
  "/deployments?q=owner:ana&cursor=abc",
  "/d/d-abc~2",
  "/compare/d-abc~1..d-def~3",
  "/services",
  "/services/check%20out",
  "/fleet",
  "/audit?ticket=CHG-1",
  "/audit/17",
  "/s/0123abcd",
])("what %s says comes back the same", (text) => {
  expect(formatAddress(read(text))).toBe(text);
});

test.each([
  "team/web",
  "/web/",
  "a//b",
  "a/../b",
  "</script>",
  "100%",
  "%2F",
  "what?",
  "#1",
  "check out",
  "a&b=c+d",
  "größe",
])("the page of the service %s has an address that leads there", (service) => {
  const text = formatAddress(at(read("/oncall"), "service", service));
  const found = read(text);
  expect(found.page).toBe("service");
  expect(found.about).toEqual([service]);
  expect(formatAddress(found)).toBe(text);
});

test("slashes in the name of a service may stand as they are", () => {
  const found = read("/services/team/web?range=1h");
  expect(found.page).toBe("service");
  expect(found.about).toEqual(["team/web"]);
  expect(formatAddress(found)).toBe("/services/team%2Fweb?range=1h");
  expect(read("/audit/1/2").page).toBe("unknown");
});

test("the root is the on-call page, and what is unknown stays what it was", () => {
  expect(read("/").page).toBe("oncall");
  expect(read("/audit/x").page).toBe("unknown");
  expect(read("/d/").page).toBe("unknown");
  expect(read("/d/%E0%A4%A").about).toEqual(["%E0%A4%A"]);
});

test("a window that ends before it begins is the usual one", () => {
  expect(read("/oncall?since=2026-11-22T02:00:00Z&until=2026-11-22T01:00:00Z").window).toEqual({
    range: "6h",
  });
  expect(read("/oncall?range=9h").window).toEqual({ range: "6h" });
});

test("pixels are no part of what a link says", () => {
  expect(formatAddress(read("/oncall?width=965"))).toBe("/oncall");
});

test("another page keeps window and filter, and leaves what only the first one knew", () => {
  const address = read("/deployments?range=1h&q=svc:a&cursor=x");
  expect(formatAddress(at(address, "oncall"))).toBe("/oncall?range=1h&q=svc:a");
});

test("a page is asked only what it takes, and what it does not take is kept in mind", () => {
  const here = read("/oncall?range=24h&q=svc:a&dep=d-a~1");
  const fleet = carried(read(formatAddress(at(here, "fleet"))), here);
  expect(formatAddress(fleet)).toBe("/fleet?q=svc:a");
  expect(formatAddress(at(here, "deployment", "d-a~1"))).toBe("/d/d-a~1");
  expect(formatAddress(at(fleet, "deployments"))).toBe("/deployments?range=24h&q=svc:a");
});

test("who has chosen no window gets the usual one of each page", () => {
  expect(read("/deployments").window).toEqual({ range: "7d" });
  expect(formatAddress(at(read("/oncall"), "deployments"))).toBe("/deployments");
  expect(formatAddress(at(read("/deployments"), "oncall"))).toBe("/oncall");
});

test("only the selection differs", () => {
  expect(isOnlySelection(read("/oncall?dep=a"), read("/oncall?dep=b"))).toBe(true);
  expect(isOnlySelection(read("/oncall?dep=a"), read("/oncall?range=1h"))).toBe(false);
});

const ROW = {
  service: "checkout",
  environment: "prod",
  state: "failed",
  owner: "ana",
  places: ["eu-1"],
  kind: "deployment",
  version: "2.31.0",
  id: "d-abc~1",
};

test.each([
  ["svc:checkout env:prod st:failed owner:ana cluster:eu-1 kind:deployment", true],
  ["svc:cart svc:checkout", true],
  ["svc:cart", false],
  ["svc:checkout st:healthy", false],
  ["cluster:eu-2", false],
  ["check 2.31", true],
  ["d-abc", true],
  ["heckout", false],
])("the filter %s", (text, isTaken) => {
  expect(takes(parseFilter(text), ROW)).toBe(isTaken);
});

test.each([
  ["service", "cart", true],
  ["service", "checkout", false],
  ["cluster", "eu-9", false],
  ["text", "2.32", true],
  ["text", "2.31", false],
])("%s %s excludes: %s", (field, value, isExcluded) => {
  expect(excludes([{ field, value }], ROW)).toBe(isExcluded);
});

test.each([
  [
    'svc:"my shop" st:failed',
    [
      ["svc", "my shop"],
      ["st", "failed"],
    ],
    [],
  ],
  ["owner:'team a' pay", [["owner", "team a"]], ["pay"]],
  ['"svc:my shop"', [["svc", "my shop"]], []],
  ['svc:"my sh', [["svc", "my sh"]], []],
  [
    'svc:a\\ b svc:"say \\"hi\\""',
    [
      ["svc", "a b"],
      ["svc", 'say "hi"'],
    ],
    [],
  ],
])("what stands in quotation marks is one word: %s", (text, terms, words) => {
  expect(parseFilter(text)).toEqual({ terms, words });
});

test("a value with a space is written so that it is read again", () => {
  for (const value of ["my shop", 'say "hi"', "it's", "a\\b", "plain"]) {
    const text = withTerm('owner:"team st:x" pay', "svc", value);
    expect(parseFilter(text).terms).toEqual([
      ["owner", "team st:x"],
      ["svc", value],
    ]);
  }
});

test("a term is set once, and other words stay", () => {
  expect(withTerm("pay st:failed", "st", "canary")).toBe("pay st:canary");
  expect(parseFilter("http://x foo:").words).toEqual(["http://x", "foo:"]);
});
