// Which service runs what in which cluster, and how much of it is confirmed by what really runs.

import "../style/fleet.css";
import type { Fleet } from "../api/documents.ts";
import { AllMissing, Empty } from "../parts/empty.tsx";
import { To, ToDeployment } from "../parts/link.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { StateMark } from "../parts/state-mark.tsx";
import { Version } from "../parts/version.tsx";
import { count, counted } from "../parts/words.ts";
import { dayAndClock, parsed } from "../time/instant.ts";

type Row = Fleet["rows"][number];
type Cell = Row["cells"][number];

export default function FleetPage({ document: shown }: { document: Fleet }) {
  const all = shown.confirmed + shown.unproven + shown.mismatched;
  return (
    <PageFrame
      title="Fleet"
      note={
        all === 0
          ? "No instance reports what it runs: `deploymark observe`, or the SDK's startup(), tells."
          : `${counted(all, "instance")}: ${count(shown.confirmed)} confirmed, ${count(shown.unproven)} unproven, ${count(shown.mismatched)} mismatched`
      }
    >
      <section class="panel" aria-label="What runs where">
        {shown.rows.length === 0 ? (
          <Empty>Nothing that the filter lets through has been deployed.</Empty>
        ) : (
          <div class="scroll" tabIndex={0}>
            <table class="fleet">
              <thead>
                <tr>
                  <th scope="col">Service</th>
                  <th scope="col">Environment</th>
                  {shown.clusters.map((cluster) => (
                    <th scope="col" key={cluster.name}>
                      {cluster.name || "no cluster named"}
                      {cluster.missing_since_at === null ? null : (
                        <div class="tone-warn">
                          ▲ no markers since {dayAndClock(parsed(cluster.missing_since_at) ?? 0)}
                        </div>
                      )}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {shown.rows.map((row) => (
                  <tr key={`${row.service} ${row.environment}`}>
                    <th scope="row">
                      <To page="service" about={[row.service]}>
                        {row.service}
                      </To>
                    </th>
                    <td>{row.environment}</td>
                    {shown.clusters.map((cluster, i) => (
                      <Place
                        key={cluster.name}
                        cell={row.cells.find((each) => each.cluster === i)}
                      />
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        <Pager shown={shown.rows.length} total={shown.total} cursor={shown.next_cursor} />
      </section>
      <AllMissing missing={shown.missing} />
    </PageFrame>
  );
}

function Place({ cell }: { cell: Cell | undefined }) {
  if (cell === undefined) return <td class="calm">–</td>;
  const seen = cell.confirmed + cell.unproven + cell.mismatched;
  return (
    <td class="nowrap">
      {cell.id === null ? (
        <span class="calm">nothing known</span>
      ) : (
        <ToDeployment id={cell.id}>
          <Version of={cell.version ?? cell.id} />
        </ToDeployment>
      )}{" "}
      {cell.versions > 1 ? <span class="tone-warn small">▲ {cell.versions} versions</span> : null}
      <div class="small">
        {cell.state === null ? null : <StateMark state={cell.state} />}{" "}
        <span class="calm">
          {seen === 0 && cell.expected === null
            ? "no instance reports"
            : `${count(cell.confirmed)} of ${count(cell.expected ?? seen)} confirmed`}
        </span>
      </div>
      {cell.mismatched > 0 ? (
        <div class="tone-bad small">✕ {count(cell.mismatched)} run another artifact</div>
      ) : null}
    </td>
  );
}
