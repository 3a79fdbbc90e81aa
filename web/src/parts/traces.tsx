// Traces that are worth looking at.

import type { TraceLine } from "../api/documents.ts";
import { Empty } from "./empty.tsx";
import { Table } from "./table.tsx";
import { When } from "./when.tsx";

export function Traces({ traces, empty }: { traces: TraceLine[]; empty: string }) {
  if (traces.length === 0) return <Empty>{empty}</Empty>;
  return (
    <Table>
      <thead>
        <tr>
          <th scope="col">When</th>
          <th scope="col">Span</th>
          <th scope="col" class="number">
            Took
          </th>
          <th scope="col">Result</th>
          <th scope="col">Trace</th>
        </tr>
      </thead>
      <tbody>
        {traces.map((trace) => (
          <tr key={trace.trace_id + trace.span_id}>
            <td class="calm">
              <When at={trace.at} />
            </td>
            <th scope="row" class="break">
              {trace.name}{" "}
              {trace.route === null ? null : <span class="calm mono">{trace.route}</span>}
            </th>
            <td class="number">{trace.duration_ms.toFixed(1)} ms</td>
            <td>
              {trace.failing ? (
                <span class="state tone-bad">✕ failing</span>
              ) : (
                <span class="state tone-warn">◷ slow</span>
              )}
            </td>
            <td class="mono break">{trace.trace_id}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
