// Entries of the log about one deployment, the newest first.

import type { EntryLine } from "../api/documents.ts";
import { Empty } from "./empty.tsx";
import { ToEntry } from "./link.tsx";
import { Table } from "./table.tsx";
import { When } from "./when.tsx";
import { sentence } from "./words.ts";

const ASSURANCES: Record<string, [string, string]> = {
  signed: ["✓ signed", "good"],
  attributed: ["○ attributed", "calm"],
  anonymous: ["▲ anonymous", "warn"],
};

export function Assurance({ assurance }: { assurance: string }) {
  const [words, tone] = ASSURANCES[assurance] ?? [assurance, "calm"];
  return <span class={`state tone-${tone}`}>{words}</span>;
}

export function Entries({ entries }: { entries: EntryLine[] }) {
  if (entries.length === 0) return <Empty>No entry speaks of it.</Empty>;
  return (
    <Table>
      <thead>
        <tr>
          <th scope="col">Entry</th>
          <th scope="col">When</th>
          <th scope="col">What</th>
          <th scope="col">By</th>
          <th scope="col">Assurance</th>
          <th scope="col">Joined by</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => (
          <tr key={entry.index}>
            <th scope="row" class="nowrap">
              <ToEntry index={entry.index} />
            </th>
            <td class="calm">
              <When at={entry.at} />
            </td>
            <td class="break">
              {sentence(entry.type)} {sentence(entry.event)}{" "}
              <span class="calm">{entry.sentence}</span>
            </td>
            <td class="break">
              {entry.principal}{" "}
              {entry.source === null ? null : <span class="calm">({entry.source})</span>}
            </td>
            <td>
              <Assurance assurance={entry.assurance} />
            </td>
            <td class="calm">{entry.rule === null ? "–" : sentence(entry.rule)}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
