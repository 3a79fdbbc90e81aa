// A titled part of a page; the title's other end says how much of it is shown.

import type { ComponentChildren } from "preact";

interface PanelProps {
  title: string;
  note?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}

export function Panel({ title, note, class: more = "", children }: PanelProps) {
  return (
    <section class={`panel ${more}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {note === undefined ? null : <span class="calm small">{note}</span>}
      </header>
      {children}
    </section>
  );
}

export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? <span class="calm">–</span>}</dd>
        </div>
      ))}
    </dl>
  );
}
