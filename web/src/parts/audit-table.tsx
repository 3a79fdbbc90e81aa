// Entries of the log in a list.

import type { AuditEntry } from "../api/documents.ts";
import { Assurance } from "./entries.tsx";
import { ToDeployment, ToEntry } from "./link.tsx";
import { Table } from "./table.tsx";
import { When } from "./when.tsx";
import { sentence, shortId } from "./words.ts";

export function AuditTable({ entries }: { entries: AuditEntry[] }) {
  return (
    <Table>
      <thead>
        <tr>
          <th scope="col">Entry</th>
          <th scope="col">Received</th>
          <th scope="col">Type</th>
          <th scope="col">About</th>
          <th scope="col">By</th>
          <th scope="col">Assurance</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => (
          <tr key={entry.index}>
            <th scope="row" class="nowrap">
              <ToEntry index={entry.index} />
            </th>
            <td class="calm">
              <When at={entry.received_at} />
            </td>
            <td>{sentence(entry.type)}</td>
            <td class="break">
              {[entry.service, entry.environment].filter(Boolean).join(" · ")}{" "}
              <span class="calm">{entry.sentence}</span>{" "}
              {entry.id === null ? null : (
                <ToDeployment id={entry.id}>
                  <span class="mono small">{shortId(entry.id)}</span>
                </ToDeployment>
              )}
            </td>
            <td class="break">{entry.principal}</td>
            <td>
              <Assurance assurance={entry.assurance} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
