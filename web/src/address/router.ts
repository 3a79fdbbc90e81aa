// The address bar and the history of the browser, by hand. `go` changes where the page is; links to
// our own pages are followed without loading the page anew. What addresses mean is address.ts.

import { address, problem } from "../state/app.ts";
import {
  type Address,
  carried,
  formatAddress,
  isOnlySelection,
  isOnlyWindow,
  parseAddress,
} from "./address.ts";

const APART_MS = 1_000;
let movedAt = Number.NEGATIVE_INFINITY;

/**
 * A selection replaces the entry of the history, and so does a window that goes on moving: going
 * back leaves the page, or the window, and not each row or each repeat of a key.
 */
export function go(to: Address): void {
  const from = address.peek();
  const text = formatAddress(to);
  // Where something is wrong the address may say more than was understood: the link leads out of it.
  if (text === formatAddress(from) && problem.peek() === null) return;
  const now = performance.now();
  const moves = isOnlyWindow(from, to);
  const isMoving = moves && now - movedAt < APART_MS;
  if (moves) movedAt = now;
  if (isOnlySelection(from, to) || isMoving) history.replaceState(null, "", text);
  else history.pushState({ top: 0 }, "", text);
  address.value = to;
  if (from.page !== to.page || from.about.join() !== to.about.join()) scrollTo(0, 0);
}

export function goTo(text: string): void {
  const url = new URL(text, location.href);
  go(carried(parseAddress(url.pathname, url.search), address.peek()));
}

export function change(part: Partial<Address>): void {
  go({ ...address.peek(), ...part });
}

export function select(id: string | null): void {
  change({ selected: id });
}

/** Begin to follow links and the buttons of the browser. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    address.value = carried(parseAddress(location.pathname, location.search), address.peek());
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download"))
      return;
    if (link.origin !== location.origin) return;
    const to = parseAddress(link.pathname, link.search);
    if (to.page === "unknown") return;
    event.preventDefault();
    go(carried(to, address.peek()));
  });
}
