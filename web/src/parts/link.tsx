// Links: to our own pages by address, and to what markers name. The latter are followed only when
// they are http or https, give nothing away of this page, and show where they lead.

import type { ComponentChildren } from "preact";
import { at, formatAddress, type PageName } from "../address/address.ts";
import { address } from "../state/app.ts";

interface ToProps {
  page: PageName;
  about?: readonly string[];
  class?: string;
  children: ComponentChildren;
}

export function To({ page, about = [], class: name, children }: ToProps) {
  return (
    <a class={name} href={formatAddress({ ...at(address.value, page, ...about), selected: null })}>
      {children}
    </a>
  );
}

export function ToDeployment({ id, children }: { id: string; children?: ComponentChildren }) {
  return (
    <To page="deployment" about={[id]}>
      {children ?? <span class="mono">{id}</span>}
    </To>
  );
}

export function ToEntry({ index }: { index: number }) {
  return (
    <To page="entry" about={[String(index)]}>
      entry {index}
    </To>
  );
}

export function isFollowed(link: string): boolean {
  try {
    return ["http:", "https:"].includes(new URL(link).protocol);
  } catch {
    return false;
  }
}

/** What a marker calls a link: shown as text where it is none. */
export function Outside({ link, children }: { link: string; children?: ComponentChildren }) {
  if (!isFollowed(link)) return <span class="break">{children ?? link}</span>;
  return (
    <a class="break" href={link} rel="noopener noreferrer" target="_blank">
      {children === undefined
        ? link
        : [children, " ", <span class="calm">({new URL(link).host})</span>]}
    </a>
  );
}
