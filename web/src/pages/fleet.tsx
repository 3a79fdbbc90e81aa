// Which service runs what in which cluster, and how much of it is confirmed by what really runs.

import { missingMarkers } from "../parts/silent.ts";
import "../style/fleet.css";
import type { Fleet } from "../api/documents.ts";
import { AllMissing, Empty } from "../parts/empty.tsx";
import { To, ToDeployment } from "../parts/link.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { StateMark } from "../parts/state-mark.tsx";
import { Version } from "../parts/version.tsx";
import { count, counted, coverageWords } from "../parts/words.ts";
import { isNarrow } from "../state/narrow.ts";
import { dayAndClock, parsed } from "../time/instant.ts";

type Row = Fleet["rows"][number];
type Cell = Row["cells"][number];
type Cluster = Fleet["clusters"][number];

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
        ) : isNarrow.value ? (
          <Cards fleet={shown} />
        ) : (
          <Matrix fleet={shown} />
        )}
        <Pager shown={shown.rows.length} total={shown.total} cursor={shown.next_cursor} />
      </section>
      <AllMissing missing={shown.missing} />
    </PageFrame>
  );
}

const named = (cluster: Cluster) => cluster.name || "no cluster named";

function Silent({ cluster }: { cluster: Cluster }) {
  const since = parsed(cluster.missing_since_at);
  if (since === null) return null;
  return (
    <div class="tone-warn">
      ▲ {missingMarkers(cluster)} since {dayAndClock(since)}
    </div>
  );
}

function Matrix({ fleet }: { fleet: Fleet }) {
  return (
    <div class="scroll" tabIndex={0}>
      <table class="fleet">
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col">Environment</th>
            {fleet.clusters.map((cluster) => (
              <th scope="col" key={cluster.name}>
                {named(cluster)}
                <Silent cluster={cluster} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {fleet.rows.map((row) => (
            <tr key={`${row.service} ${row.environment}`}>
              <th scope="row">
                <To page="service" about={[row.service]}>
                  {row.service}
                </To>
              </th>
              <td>{row.environment}</td>
              {fleet.clusters.map((cluster, i) => {
                const cell = row.cells.find((each) => each.cluster === i);
                return (
                  <td key={cluster.name} class={cell === undefined ? "calm" : "nowrap"}>
                    {cell === undefined ? "–" : <Place cell={cell} />}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** On a phone: what runs nowhere takes no room, and nothing is out of sight. */
function Cards({ fleet }: { fleet: Fleet }) {
  return (
    <ul class="list">
      {fleet.clusters
        .filter((cluster) => cluster.missing_since_at !== null)
        .map((cluster) => (
          <li key={`silent ${cluster.name}`}>
            <strong>{named(cluster)}</strong>
            <Silent cluster={cluster} />
          </li>
        ))}
      {fleet.rows.map((row) => (
        <li key={`${row.service} ${row.environment}`}>
          <h2>
            <To page="service" about={[row.service]}>
              {row.service}
            </To>{" "}
            <span class="calm">{row.environment}</span>
          </h2>
          {row.cells.length === 0 ? <p class="calm">It runs nowhere that is known.</p> : null}
          <dl class="fleet-places">
            {row.cells.map((cell) => {
              const cluster = fleet.clusters[cell.cluster];
              return (
                <div key={cell.cluster}>
                  <dt class="small">{cluster === undefined ? "–" : named(cluster)}</dt>
                  <dd>
                    <Place cell={cell} />
                  </dd>
                </div>
              );
            })}
          </dl>
        </li>
      ))}
    </ul>
  );
}

function Place({ cell }: { cell: Cell }) {
  return (
    <>
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
        <span class="calm">{coverageWords(cell, cell.versions)}</span>
      </div>
      {cell.mismatched > 0 ? (
        <div class="tone-bad small">✕ {count(cell.mismatched)} run another artifact</div>
      ) : null}
    </>
  );
}
