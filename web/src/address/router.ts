// The address bar and the history of the browser, by hand. `go` changes where the page is; links to
// our own pages are followed without loading the page anew. What addresses mean is address.ts.

import { address, problem } from "../state/app.ts";
import { type Address, carried, formatAddress, isOnlySelection, parseAddress } from "./address.ts";

/** A selection replaces the entry of the history: going back leaves the page, not each row. */
export function go(to: Address): void {
  const from = address.peek();
  const text = formatAddress(to);
  // Where something is wrong the address may say more than was understood: the link leads out of it.
  if (text === formatAddress(from) && problem.peek() === null) return;
  if (isOnlySelection(from, to)) history.replaceState(null, "", text);
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
