// The numbers of thirty days for who leads: every one linked to the list that proves it. Prints on
// paper; nothing moves.

import "../style/exec.css";
import type { Exec, Figure } from "../api/documents.ts";
import { AllMissing, Empty, Nothing } from "../parts/empty.tsx";
import { ListPanel } from "../parts/list-panel.tsx";
import { FigureCard, Measures, Met, valueWords } from "../parts/measures.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Panel } from "../parts/panel.tsx";
import { Table } from "../parts/table.tsx";
import { count, counted } from "../parts/words.ts";
import { written } from "../time/instant.ts";

export default function ExecPage({ document: shown }: { document: Exec }) {
  return (
    <PageFrame
      title="Executive"
      note={`${shown.environment}, ${written(shown.window.since_ms, shown.window.until_ms)} UTC`}
      class="exec"
    >
      <Elsewhere document={shown} />
      <div class="grid-2 exec-top">
        <Success document={shown} />
        <Panel title="Deployments a day" note="failed and rolled back on top">
          <Days days={shown.days} />
        </Panel>
      </div>
      <div class="grid-2 exec-keys">
        <Panel title="DORA">
          <Figures figures={shown.dora} empty="None of the four keys can be told yet." />
        </Panel>
        <Panel title="Coverage">
          {shown.coverage.length === 0 ? (
            <Nothing missing={shown.missing} what="measures">
              Nothing is covered yet.
            </Nothing>
          ) : (
            <Figures figures={shown.coverage} />
          )}
        </Panel>
      </div>
      <div class="grid-2 exec-lists">
        <div class="stack">
          <Teams document={shown} />
          <Panel title="Incidents">
            <Figures figures={shown.incidents} empty="Incidents are not kept yet." />
          </Panel>
        </div>
        <Measures measures={shown.measures} missing={shown.missing} title="All measures" />
      </div>
      <AllMissing missing={shown.missing} told={["success", "measures", "incidents"]} />
    </PageFrame>
  );
}

/** Which environment this is, where it is not the one that was looked for; where there is more. */
function Elsewhere({ document: shown }: { document: Exec }) {
  // A view that was frozen by an older server has none.
  const { notice = null, elsewhere = [], elsewhere_total: total = 0 } = shown;
  if (notice === null) return null;
  const left = total - elsewhere.length;
  return (
    <section class="panel" aria-label="Environment">
      <p class="inside break">
        <span class="state-glyph tone-warn" aria-hidden="true">
          ▲
        </span>{" "}
        {notice}
        {elsewhere.length === 0 ? null : " There are deployments of these days in "}
        {elsewhere.map((place, i) => (
          <span key={place.environment}>
            {i === 0 ? null : i === elsewhere.length - 1 && left === 0 ? " and " : ", "}
            <a href={place.address}>{place.environment}</a> ({count(place.deployments)})
          </span>
        ))}
        {left === 0 ? null : ` and ${counted(left, "more environment")}`}
        {elsewhere.length === 0 ? null : "."}
      </p>
    </section>
  );
}

function Success({ document: shown }: { document: Exec }) {
  const { success } = shown;
  return (
    <Panel title="Success rate, 30 days">
      <div class="inside">
        {success === null || success.value === null ? (
          <Nothing missing={shown.missing} what="success">
            No deployment has come to an end yet.
          </Nothing>
        ) : (
          <>
            <p class="figure-value">
              <a href={success.list}>{valueWords(success.value, success.unit)}</a>{" "}
              <Met met={success.met} />
            </p>
            <p class="calm">
              target {valueWords(success.target, success.unit)} · {count(success.numerator ?? 0)} of{" "}
              {count(success.denominator ?? 0)} without a rollback
            </p>
            {success.low === null || success.high === null ? null : (
              <p class="calm small">
                95 % interval {valueWords(success.low, success.unit)} to{" "}
                {valueWords(success.high, success.unit)}
              </p>
            )}
          </>
        )}
      </div>
    </Panel>
  );
}

function Teams({ document: shown }: { document: Exec }) {
  return (
    <ListPanel
      title="Teams"
      shown={shown.teams.length}
      total={shown.teams_total}
      note="the worst first"
      missing={shown.missing}
      what="teams"
      empty="No deployment of these days names an owner."
    >
      <Table>
        <thead>
          <tr>
            <th scope="col">Team</th>
            <th scope="col" class="number">
              Success
            </th>
            <th scope="col" class="number">
              Deployments
            </th>
            <th scope="col" class="number">
              Failed
            </th>
            <th scope="col" class="number">
              Rolled back
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.teams.map((team) => (
            <tr key={team.owner}>
              <th scope="row">
                <a href={team.list}>{team.owner || "no owner"}</a>
              </th>
              <td class="number">{valueWords(team.success, "share")}</td>
              <td class="number">{count(team.deployments)}</td>
              <td class="number">{count(team.failed)}</td>
              <td class="number">{count(team.rolled_back)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </ListPanel>
  );
}

/** Cards; what none of them can tell is told once, and not on each of them. */
function Figures({ figures, empty = "" }: { figures: Figure[]; empty?: string }) {
  const [first] = figures;
  if (first === undefined) return <Empty>{empty}</Empty>;
  if (figures.every((each) => each.value === null && each.sentence === first.sentence)) {
    return (
      <Empty>
        {figures.map((each) => each.title).join(", ")}: not known. {first.sentence}
      </Empty>
    );
  }
  return (
    <div class="figures">
      {figures.map((figure) => (
        <FigureCard key={figure.name} figure={figure} />
      ))}
    </div>
  );
}

const HEIGHT = 120;
const BAR = 12;

/** Stacked bars, each day a link to its list. */
function Days({ days }: { days: Exec["days"] }) {
  const most = Math.max(1, ...days.map((day) => day.succeeded + day.failed + day.rolled_back));
  if (days.length === 0) return <Empty>No deployment has come to an end yet.</Empty>;
  const y = (part: number) => (part / most) * (HEIGHT - 18);
  return (
    <div class="inside">
      <svg
        class="days"
        viewBox={`0 0 ${days.length * (BAR + 3)} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Deployments a day, at most ${most}`}
      >
        {days.map((day, i) => {
          const x = i * (BAR + 3);
          const good = y(day.succeeded);
          const back = y(day.rolled_back);
          const bad = y(day.failed);
          return (
            <g key={day.date}>
              <title>{`${day.date}: ${day.succeeded} succeeded, ${day.failed} failed, ${day.rolled_back} rolled back`}</title>
              <rect class="day-good" x={x} y={HEIGHT - good} width={BAR} height={good} />
              <rect class="day-back" x={x} y={HEIGHT - good - back} width={BAR} height={back} />
              <rect class="day-bad" x={x} y={HEIGHT - good - back - bad} width={BAR} height={bad} />
            </g>
          );
        })}
      </svg>
      <p class="calm small row spread days-key">
        <span>{days[0]?.date}</span>
        <span>
          <span class="key-good">■</span> succeeded <span class="key-back">■</span> rolled back{" "}
          <span class="key-bad">■</span> failed · at most {most} a day
        </span>
        <span>{days.at(-1)?.date}</span>
      </p>
      <details class="not-printed">
        <summary>As a list</summary>
        <ul class="row">
          {days.map((day) => (
            <li key={day.date}>
              <a href={day.list}>{day.date}</a> {day.succeeded + day.failed + day.rolled_back}
            </li>
          ))}
        </ul>
      </details>
    </div>
  );
}
