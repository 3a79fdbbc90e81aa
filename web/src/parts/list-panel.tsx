// A titled part of a page that lists things: how many of how many it shows, and, where there is none,
// what is missing, in the document's words if it has any.

import type { ComponentChildren } from "preact";
import type { Missing } from "../api/documents.ts";
import { Nothing } from "./empty.tsx";
import { Panel } from "./panel.tsx";
import { shownOf } from "./words.ts";

interface ListPanelProps {
  title: string;
  shown: number;
  total: number;
  /** Behind the numbers. */
  note?: string;
  missing: Missing[];
  /** The field of the document that the list stands in. */
  what: string;
  empty: string;
  children: ComponentChildren;
}

export function ListPanel(props: ListPanelProps) {
  const { title, shown, total, note, missing, what, empty, children } = props;
  const counted = shownOf(shown, total);
  return (
    <Panel title={title} note={note === undefined ? counted : `${counted} · ${note}`}>
      {shown === 0 ? (
        <Nothing missing={missing} what={what}>
          {empty}
        </Nothing>
      ) : (
        children
      )}
    </Panel>
  );
}
