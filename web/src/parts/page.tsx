// The beginning of every page but the one for a person on call: heading, title, busy while loading.

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { TAKES } from "../address/address.ts";
import { address, isLoading } from "../state/app.ts";

interface PageFrameProps {
  title: string;
  heading?: ComponentChildren;
  note?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}

export function PageFrame({ title, heading, note, class: more = "", children }: PageFrameProps) {
  useEffect(() => {
    document.title = `${title} – deploymark`;
  }, [title]);
  return (
    <main id="content" class={`page ${more}`} aria-busy={isLoading.value}>
      <div class="page-head">
        <h1>{heading ?? title}</h1>
        {note === undefined ? null : <div class="calm">{note}</div>}
        {TAKES[address.value.page].window ? null : <div class="calm small zone">times in UTC</div>}
      </div>
      {children}
    </main>
  );
}
