// What the address bar says, as a value, and back: page, window, filter, selection. Everything that
// a page shows follows from it, so that a link shows the same to someone else. Pure; the history of
// the browser is router.ts.

import { parsed, rfc3339 } from "../time/instant.ts";
import { isRange, RANGE_MS, type Range, type Window } from "../time/window.ts";

export type PageName =
  | "oncall"
  | "debug"
  | "exec"
  | "deployments"
  | "deployment"
  | "compare"
  | "services"
  | "service"
  | "fleet"
  | "audit"
  | "entry"
  | "frozen"
  | "unknown";

export interface Address {
  page: PageName;
  /** What the page is about: an id, a service, an index, two ids; empty for none. */
  about: readonly string[];
  window: Window;
  filter: string;
  selected: string | null;
  /** Query names that only one page knows (search, cursor), in their order. */
  others: readonly (readonly [string, string])[];
}

interface Taken {
  window?: true;
  filter?: true;
  selected?: true;
}

/** What the server takes of each page; it refuses other names. */
export const TAKES: Record<PageName, Taken> = {
  oncall: { window: true, filter: true, selected: true },
  debug: { window: true, filter: true, selected: true },
  exec: {},
  deployments: { window: true, filter: true },
  deployment: {},
  compare: {},
  services: { filter: true },
  service: { window: true },
  fleet: { filter: true },
  audit: {},
  entry: {},
  frozen: { selected: true },
  unknown: {},
};

/** The window of a page whose address names none. */
export const usualRange = (page: PageName): Range =>
  page === "deployments" || page === "service" ? "7d" : "6h";

const OURS = new Set(["range", "since", "until", "q", "dep", "width", "link"]);
const ALONE: Record<string, PageName> = {
  oncall: "oncall",
  debug: "debug",
  exec: "exec",
  deployments: "deployments",
  services: "services",
  fleet: "fleet",
  audit: "audit",
};
const WITH_NAME: Record<string, PageName> = { d: "deployment", services: "service", s: "frozen" };

export function parseAddress(path: string, query: string): Address {
  const asked = new URLSearchParams(query);
  const { page, about } = parsePath(path);
  return {
    page,
    about,
    window: parseWindow(asked, page),
    filter: asked.get("q") ?? "",
    selected: asked.get("dep") || null,
    others: [...asked].filter(([name]) => !OURS.has(name)),
  };
}

export function formatAddress(address: Address): string {
  const query = formatQuery(address);
  return formatPath(address) + (query ? `?${query}` : "");
}

export function formatPath({ page, about }: Address): string {
  const [first = "", second = ""] = about.map(encodeURIComponent);
  switch (page) {
    case "deployment":
      return `/d/${first}`;
    case "service":
      return `/services/${first}`;
    case "entry":
      return `/audit/${first}`;
    case "frozen":
      return `/s/${first}`;
    case "compare":
      return `/compare/${first}..${second}`;
    case "unknown":
      return first ? decodeURIComponent(first) : "/oncall";
    default:
      return `/${page}`;
  }
}

export function formatQuery(address: Address): string {
  const { window, filter, selected, others } = address;
  const takes = TAKES[address.page];
  const parts: [string, string][] = [];
  if (!takes.window) {
    // Kept in mind for the next page that has a window, but not said.
  } else if ("range" in window) {
    if (window.range !== usualRange(address.page)) parts.push(["range", window.range]);
  } else {
    parts.push(["since", rfc3339(window.since)], ["until", rfc3339(window.until)]);
  }
  if (filter && takes.filter) parts.push(["q", filter]);
  if (selected && takes.selected) parts.push(["dep", selected]);
  for (const [name, value] of others) parts.push([name, value]);
  return parts.map(([name, value]) => `${name}=${readable(value)}`).join("&");
}

/** The same window and filter, another page. */
export function at(address: Address, page: PageName, ...about: string[]): Address {
  const { window } = address;
  // Who has chosen no window gets the usual one of each page.
  const isUsual = "range" in window && window.range === usualRange(address.page);
  return {
    ...address,
    page,
    about,
    window: isUsual ? { range: usualRange(page) } : window,
    others: [],
  };
}

/** What an address cannot say, because its page has no use for it, stays as it was. */
export function carried(to: Address, from: Address): Address {
  const takes = TAKES[to.page];
  return {
    ...to,
    window: takes.window ? to.window : at(from, to.page).window,
    filter: takes.filter ? to.filter : from.filter,
  };
}

/** What changes when only the selection does needs no page of its own in the history. */
export function isOnlySelection(one: Address, other: Address): boolean {
  return formatAddress({ ...one, selected: null }) === formatAddress({ ...other, selected: null });
}

/** Nothing but the window differs. */
export function isOnlyWindow(one: Address, other: Address): boolean {
  return formatAddress({ ...one, window: other.window }) === formatAddress(other);
}

function parsePath(path: string): { page: PageName; about: string[] } {
  const [first = "", second, ...rest] = path
    .replace(/^\/+|\/+$/g, "")
    .split("/")
    .map(decoded);
  // A service may have slashes in its name, and whoever types or forwards one leaves it as it is.
  if (first === "services" && second !== undefined && rest.length > 0) {
    return { page: "service", about: [[second, ...rest].join("/")] };
  }
  if (rest.length === 0) {
    if (second === undefined) {
      if (first === "") return { page: "oncall", about: [] };
      const page = ALONE[first];
      if (page !== undefined) return { page, about: [] };
    } else if (second !== "") {
      if (first === "audit" && /^\d+$/.test(second)) return { page: "entry", about: [second] };
      if (first === "compare") {
        const [one, other] = second.split("..");
        if (one && other) return { page: "compare", about: [one, other] };
      }
      const page = WITH_NAME[first];
      if (page !== undefined) return { page, about: [second] };
    }
  }
  return { page: "unknown", about: [path] };
}

function parseWindow(asked: URLSearchParams, page: PageName): Window {
  const [since, until] = [parsed(asked.get("since")), parsed(asked.get("until"))];
  if (since !== null || until !== null) {
    // As the server reads it; it stays where it is from then on.
    const end = until ?? Date.now();
    const begin = since ?? end - RANGE_MS[usualRange(page)];
    if (begin < end) return { since: begin, until: end };
  }
  const range = asked.get("range");
  return { range: isRange(range) ? range : usualRange(page) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Addresses are read and sent by people: only what would be misread is escaped. */
function readable(value: string): string {
  return encodeURIComponent(value).replace(/%3A/g, ":").replace(/%2F/g, "/").replace(/%20/g, "+");
}
