// A list of deployments, one in a row; j and k go through it and Enter opens.

import { useEffect, useState } from "preact/hooks";
import { at } from "../address/address.ts";
import { go } from "../address/router.ts";
import type { Chip } from "../api/documents.ts";
import { onAll } from "../keys/keyboard.ts";
import { address } from "../state/app.ts";
import { Empty } from "./empty.tsx";
import { ToDeployment } from "./link.tsx";
import { StateMark } from "./state-mark.tsx";
import { Table } from "./table.tsx";
import { Version } from "./version.tsx";
import { When } from "./when.tsx";
import { deltaValue, isWorse, score } from "./words.ts";

export function ChipTable({
  chips,
  empty,
  hasKeys = false,
}: {
  chips: Chip[];
  empty: string;
  hasKeys?: boolean;
}) {
  const [place, setPlace] = useState(-1);
  useEffect(() => {
    if (!hasKeys) return;
    const move = (by: number) => () => {
      const next = Math.min(chips.length - 1, Math.max(0, place + by));
      setPlace(next);
      requestAnimationFrame(() =>
        document.querySelector("tr.is-chosen")?.scrollIntoView({ block: "nearest" }),
      );
    };
    return onAll({
      next: move(1),
      previous: move(-1),
      open: () => {
        const chip = chips[place];
        if (chip !== undefined) go(at(address.peek(), "deployment", chip.id));
      },
    });
  }, [place, chips, hasKeys]);
  if (chips.length === 0) return <Empty>{empty}</Empty>;
  // Long lists are not counted: there the column would say nothing.
  const hasErrors = chips.some(({ delta }) => delta !== null && delta.points !== null);
  return (
    <Table>
      <thead>
        <tr>
          <th scope="col">State</th>
          <th scope="col">When</th>
          <th scope="col">Deployment</th>
          <th scope="col">Environment</th>
          <th scope="col">Where</th>
          <th scope="col">Owner</th>
          <th scope="col">Ticket</th>
          {hasErrors ? (
            <th scope="col" class="number">
              Errors
            </th>
          ) : null}
          <th scope="col" class="number">
            Score
          </th>
        </tr>
      </thead>
      <tbody>
        {chips.map((chip, i) => (
          <tr
            key={chip.id}
            data-id={chip.id}
            class={i === place ? "is-chosen" : ""}
            aria-selected={i === place}
          >
            <td>
              <StateMark state={chip.state} />
            </td>
            <td class="calm">
              <When at={chip.at} />
            </td>
            <th scope="row">
              <ToDeployment id={chip.id}>
                <strong>{chip.service}</strong> <Version of={chip.version} />
              </ToDeployment>
              {chip.kind === "deployment" ? null : (
                <span class="calm small"> {chip.kind.replaceAll("_", " ")}</span>
              )}
              {chip.reason === null ? null : <div class="calm small reason">{chip.reason}</div>}
            </th>
            <td>{chip.environment}</td>
            <td>
              {chip.places.join(", ") || "–"}
              {chip.places_total > chip.places.length
                ? ` +${chip.places_total - chip.places.length}`
                : ""}
            </td>
            <td>{chip.owner ?? chip.author ?? "–"}</td>
            <td class="nowrap">
              {chip.ticket === null ? (
                "–"
              ) : (
                <a href={`/audit?ticket=${encodeURIComponent(chip.ticket)}`}>{chip.ticket}</a>
              )}
            </td>
            {hasErrors ? <Errors of={chip.delta} /> : null}
            <td class="number">{score(chip.score)}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function Errors({ of: delta }: { of: Chip["delta"] }) {
  const isBad = isWorse(delta);
  return (
    <td class={`number ${isBad ? "tone-bad" : "calm"}`}>
      {delta === null || delta.points === null ? "–" : `${isBad ? "▲ " : ""}${deltaValue(delta)}`}
    </td>
  );
}
