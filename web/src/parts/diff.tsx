// Fields that two deployments say differently, side by side.

import type { FieldDiff } from "../api/documents.ts";
import { Empty } from "./empty.tsx";
import { Table } from "./table.tsx";
import { sentence } from "./words.ts";

export function Diff({ fields, a, b }: { fields: FieldDiff[]; a: string; b: string }) {
  if (fields.length === 0) return <Empty>They say the same of everything.</Empty>;
  return (
    <Table class="pair">
      <thead>
        <tr>
          <th scope="col">Field</th>
          <th scope="col">{a}</th>
          <th scope="col">{b}</th>
        </tr>
      </thead>
      <tbody>
        {fields.map((field) => (
          <tr key={field.field}>
            <th scope="row">{sentence(field.field)}</th>
            <td class="mono break">{field.a ?? <span class="calm">says nothing</span>}</td>
            <td class="mono break">{field.b ?? <span class="calm">says nothing</span>}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
