// A table that scrolls in its own place where it is too wide. On a phone each row is a card, which
// shows every value below the name of its column; `pair` compares two columns and keeps them.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export function Table({
  class: name = "cards",
  children,
}: {
  class?: "cards" | "pair";
  children: ComponentChildren;
}) {
  const table = useRef<HTMLTableElement>(null);
  useLayoutEffect(() => {
    if (table.current !== null) describe(table.current);
  });
  return (
    <div class="scroll" tabIndex={0}>
      <table class={name} ref={table}>
        {children}
      </table>
    </div>
  );
}

/** What is laid out as blocks is heard as a table only if it says that it is one. */
function describe(table: HTMLTableElement): void {
  const names = [...(table.tHead?.rows[0]?.cells ?? [])].map((cell) => cell.textContent);
  table.setAttribute("role", "table");
  for (const part of [table.tHead, ...table.tBodies]) part?.setAttribute("role", "rowgroup");
  for (const row of table.rows) {
    row.setAttribute("role", "row");
    [...row.cells].forEach((cell, i) => {
      const isHead = cell.tagName === "TH";
      cell.setAttribute(
        "role",
        isHead ? (cell.scope === "col" ? "columnheader" : "rowheader") : "cell",
      );
      if (!isHead) cell.setAttribute("data-name", names[i] ?? "");
    });
  }
}
