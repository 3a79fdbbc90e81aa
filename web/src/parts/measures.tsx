// Measures with target and interval, each a link to the list that proves it.

import type { Figure, Measured, Missing } from "../api/documents.ts";
import { parsed, spelled } from "../time/instant.ts";
import { Nothing } from "./empty.tsx";
import { Panel } from "./panel.tsx";
import { Table } from "./table.tsx";
import { count, points } from "./words.ts";

const AIMS: Record<string, string> = { at_least: "≥", at_most: "≤", below: "<" };

export function valueWords(value: number | null, unit: string): string {
  if (value === null) return "–";
  if (unit === "share")
    return `${(value * 100).toFixed(Math.abs(value) >= 0.9995 || value === 0 ? 0 : 1)} %`;
  if (unit === "points") return points(value * 100);
  if (unit === "seconds") return spelled(value * 1000);
  if (unit === "per_day") return `${value.toFixed(value >= 10 ? 0 : 1)} a day`;
  return count(value);
}

export function Met({ met }: { met: boolean | null }) {
  if (met === null)
    return (
      <span class="state tone-calm">
        <span class="state-glyph" aria-hidden="true">
          ○
        </span>{" "}
        nothing counted
      </span>
    );
  return met ? (
    <span class="state tone-good">
      <span class="state-glyph" aria-hidden="true">
        ✓
      </span>{" "}
      met
    </span>
  ) : (
    <span class="state tone-bad">
      <span class="state-glyph" aria-hidden="true">
        ✕
      </span>{" "}
      missed
    </span>
  );
}

interface MeasuresProps {
  measures: Measured[];
  missing: Missing[];
  title: string;
}

/** Over how many days these were counted: other numbers of a page may be of more of them. */
function span(measures: Measured[]): string | undefined {
  const since = parsed(measures[0]?.since_at ?? null);
  const until = parsed(measures[0]?.until_at ?? null);
  if (since === null || until === null) return undefined;
  return `counted over the last ${spelled(until - since)}`;
}

export function Measures({ measures, missing, title }: MeasuresProps) {
  return (
    <Panel title={title} note={span(measures)}>
      {measures.length === 0 ? (
        <Nothing missing={missing} what="measures">
          No measure has been taken yet.
        </Nothing>
      ) : (
        <MeasureTable measures={measures} />
      )}
    </Panel>
  );
}

function MeasureTable({ measures }: { measures: Measured[] }) {
  return (
    <Table>
      <thead>
        <tr>
          <th scope="col">Measure</th>
          <th scope="col" class="number">
            Value
          </th>
          <th scope="col" class="number">
            Of
          </th>
          <th scope="col">95 % interval</th>
          <th scope="col" class="number">
            Target
          </th>
          <th scope="col">Target met</th>
        </tr>
      </thead>
      <tbody>
        {measures.map((measure) => (
          <tr key={measure.id}>
            <th scope="row" title={measure.formula}>
              <a href={measure.list}>
                {measure.id} {measure.title}
              </a>
            </th>
            <td class="number">
              <strong>{valueWords(measure.value, measure.unit)}</strong>
            </td>
            <td class="number calm">
              {measure.denominator === null
                ? "–"
                : `${measure.numerator === null ? "" : `${count(measure.numerator)} of `}${count(measure.denominator)}`}
            </td>
            <td class="calm nowrap">
              {measure.low === null || measure.high === null
                ? "–"
                : `${valueWords(measure.low, measure.unit)} to ${valueWords(measure.high, measure.unit)}`}
            </td>
            <td class="number">
              {AIMS[measure.aim] ?? ""} {valueWords(measure.target, measure.unit)}
            </td>
            <td>
              <Met met={measure.met} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

/** A number, its name, what it says; linked to the list that proves it where there is one. */
export function FigureCard({ figure }: { figure: Figure }) {
  const words = valueWords(figure.value, figure.unit);
  return (
    <div class="figure-card">
      <h3>{figure.title}</h3>
      <p class="figure-value">
        {figure.list === null || figure.value === null ? words : <a href={figure.list}>{words}</a>}
      </p>
      <p class="calm small break">{figure.sentence}</p>
    </div>
  );
}
