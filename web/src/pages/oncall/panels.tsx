// Below the charts: canaries with their scores, rollbacks under way, errors after deployments, and
// findings that matter now.

import type { Canary, OnCall, Rollback, ServiceDelta, ShownFinding } from "../../api/documents.ts";
import { ToDeployment } from "../../parts/link.tsx";
import { ListPanel } from "../../parts/list-panel.tsx";
import { ResultMark, StateMark } from "../../parts/state-mark.tsx";
import { Table } from "../../parts/table.tsx";
import { Version } from "../../parts/version.tsx";
import { count, deltaValue, isWorse, points, sentence, share } from "../../parts/words.ts";
import { now } from "../../state/app.ts";
import { ago, clock, exact, parsed } from "../../time/instant.ts";

export function Canaries({ document: shown }: { document: OnCall }) {
  return (
    <ListPanel
      title="Canaries"
      shown={shown.canaries.length}
      total={shown.canaries_total}
      missing={shown.missing}
      what="canaries"
      empty="No rollout by steps is under way. Plans for rollouts stand in the configuration, under services."
    >
      <ul class="list">
        {shown.canaries.map((canary) => (
          <li key={canary.chip.id}>
            <CanaryLine canary={canary} />
          </li>
        ))}
      </ul>
    </ListPanel>
  );
}

/** How many steps there are is known while it goes on by its plan. */
function stepOf(step: number, steps: number): string {
  return steps === 0 ? `step ${step}` : `step ${step} of ${steps}`;
}

export function CanaryLine({ canary }: { canary: Canary }) {
  const { chip, step, steps, weight } = canary;
  const next = parsed(canary.next_look_at);
  return (
    <>
      <div class="row spread">
        <span class="clip">
          <ToDeployment id={chip.id}>
            <strong>{chip.service}</strong> <Version of={chip.version} />
          </ToDeployment>
        </span>
        <span class="calm">
          {step !== null
            ? stepOf(step, steps.length)
            : canary.planned
              ? "before its first step"
              : "no rollout plan"}
          {weight === null ? "" : ` · ${weight} % of traffic`}
        </span>
        <StateMark state={chip.state} />
      </div>
      <Scores canary={canary} />
      <p class="calm small break">
        {canary.verdict === null ? null : <ResultMark result={canary.verdict} />}{" "}
        {canary.reason ?? ""}
        {next === null ? "" : ` Next look ${ago(next, now.value)}, at ${clock(next)}.`}
      </p>
    </>
  );
}

const WIDTH = 400;
const HEIGHT = 56;

/** Scores over time between the bands: below the lower one it fails, above the upper one it passes. */
export function Scores({ canary }: { canary: Canary }) {
  const { points: looks, bands } = canary;
  const [first, last] = [looks[0], looks.at(-1)];
  if (first === undefined || last === undefined)
    return (
      <p class="calm small">
        {canary.planned ? "No look yet, so no score." : "Nothing judges it: no plan rolls it out."}
      </p>
    );
  const length = Math.max(1, last.at_ms - first.at_ms);
  const x = (at: number) => 6 + ((at - first.at_ms) / length) * (WIDTH - 12);
  const y = (score: number) => HEIGHT - 4 - (score / 100) * (HEIGHT - 8);
  const words = `Scores from ${clock(first.at_ms)} to ${clock(last.at_ms)}, the last ${last.score.toFixed(0)}; fails at ${bands.fails_at}, passes at ${bands.passes_at}.`;
  return (
    <>
      <svg
        class="scores"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={words}
      >
        <rect
          class="band-pass"
          x="0"
          width={WIDTH}
          y={y(100)}
          height={y(bands.passes_at) - y(100)}
        />
        <rect
          class="band-fail"
          x="0"
          width={WIDTH}
          y={y(bands.fails_at)}
          height={y(0) - y(bands.fails_at)}
        />
        <polyline
          class="score-line"
          points={looks.map((look) => `${x(look.at_ms)},${y(look.score)}`).join(" ")}
        />
        {looks.map((look) => (
          <circle
            key={look.at_ms}
            class={`score-${look.result}`}
            cx={x(look.at_ms)}
            cy={y(look.score)}
            r="3"
          />
        ))}
      </svg>
      <p class="calm small row spread">
        <span>{clock(first.at_ms)}</span>
        <span>
          score <strong>{last.score.toFixed(0)}</strong>, fails at {bands.fails_at}, passes at{" "}
          {bands.passes_at}
        </span>
        <span>{clock(last.at_ms)}</span>
      </p>
    </>
  );
}

export function Rollbacks({ document: shown }: { document: OnCall }) {
  return (
    <ListPanel
      title="Rollbacks"
      shown={shown.rollbacks.length}
      total={shown.rollbacks_total}
      missing={shown.missing}
      what="rollbacks"
      empty="Nothing is being rolled back."
    >
      <ul class="list">
        {shown.rollbacks.map((rollback) => (
          <li key={rollback.chip.id}>
            <RollbackLine rollback={rollback} />
          </li>
        ))}
      </ul>
    </ListPanel>
  );
}

function RollbackLine({ rollback }: { rollback: Rollback }) {
  const { chip, hosts_done, hosts_total, hosts } = rollback;
  const began = parsed(rollback.began_at);
  return (
    <>
      <div class="row spread">
        <span class="clip">
          <ToDeployment id={chip.id}>
            <strong>{chip.service}</strong> <Version of={chip.version} />
          </ToDeployment>{" "}
          → <span class="mono">{rollback.to_version ?? rollback.to ?? "unknown"}</span>
        </span>
        <StateMark state={chip.state} />
      </div>
      {hosts_done === null || hosts_total === null ? (
        <p class="calm small">
          How many hosts it has reached is not known: none of them reports what it runs.
        </p>
      ) : (
        <progress
          class="bar"
          value={hosts_done}
          max={Math.max(1, hosts_total)}
          aria-label={`${hosts_done} of ${hosts_total} hosts`}
        />
      )}
      <p class="calm small break">
        {hosts_done === null ? "" : `${count(hosts_done)} of ${count(hosts_total ?? 0)} hosts · `}
        {began === null ? "" : `began ${ago(began, now.value)}`}
        {hosts.length > 0 ? ` · still waiting: ${hosts.join(", ")}` : ""}
      </p>
    </>
  );
}

export function Deltas({ document: shown }: { document: OnCall }) {
  return (
    <ListPanel
      title="Errors after the newest deployment"
      shown={shown.deltas.length}
      total={shown.deltas_total}
      note="all requests of the service, 30 min after minus 30 min before"
      missing={shown.missing}
      what="deltas"
      empty="No service has telemetry around a deployment in this window."
    >
      <Table>
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col" class="number">
              Before
            </th>
            <th scope="col" class="number">
              After
            </th>
            <th scope="col" class="number">
              Difference
            </th>
            <th scope="col">95 % interval</th>
          </tr>
        </thead>
        <tbody>
          {shown.deltas.map((each) => (
            <DeltaRow key={each.service + each.chip.id} each={each} />
          ))}
        </tbody>
      </Table>
    </ListPanel>
  );
}

function DeltaRow({ each }: { each: ServiceDelta }) {
  const { chip, delta } = each;
  return (
    <tr>
      <th scope="row">
        <ToDeployment id={chip.id}>
          {each.service} <Version of={chip.version} />
        </ToDeployment>
      </th>
      <td class="number">{share(delta.before)}</td>
      <td class="number">{share(delta.after)}</td>
      <td class={`number ${isWorse(delta) ? "tone-bad" : ""}`}>
        {isWorse(delta) ? "▲ " : ""}
        {deltaValue(delta)}
      </td>
      <td class="calm nowrap">
        {delta.low === null || delta.high === null
          ? "–"
          : `${points(delta.low)} to ${points(delta.high)}`}
      </td>
    </tr>
  );
}

export function Findings({ document: shown }: { document: OnCall }) {
  return (
    <ListPanel
      title="Findings"
      shown={shown.findings.length}
      total={shown.findings_total}
      missing={shown.missing}
      what="findings"
      empty="Nothing is found wrong with markers, emitters or instances."
    >
      <FindingList findings={shown.findings} />
    </ListPanel>
  );
}

const SEVERITIES: Record<string, [string, string]> = {
  critical: ["✕", "bad"],
  warning: ["▲", "warn"],
  info: ["○", "calm"],
};

export function FindingList({ findings }: { findings: ShownFinding[] }) {
  return (
    <ul class="list">
      {findings.map((finding, i) => {
        const [glyph, tone] = SEVERITIES[finding.severity] ?? ["?", "warn"];
        return (
          <li key={`${finding.code}${finding.opened_at}${i}`}>
            <div class="row spread">
              <span>
                <span class={`state tone-${tone}`}>
                  <span class="state-glyph" aria-hidden="true">
                    {glyph}
                  </span>{" "}
                  {finding.severity}
                </span>{" "}
                <strong>{sentence(finding.code)}</strong>{" "}
                {[finding.service, finding.environment, finding.about].filter(Boolean).join(" · ")}
              </span>
              <span class="calm small" title={exact(parsed(finding.opened_at) ?? Number.NaN)}>
                {ago(parsed(finding.opened_at) ?? 0, now.value)}
              </span>
            </div>
            <p class="break">{finding.message}</p>
            <p class="calm small break">
              {finding.hint}{" "}
              {finding.id === null ? null : (
                <ToDeployment id={finding.id}>Open the deployment</ToDeployment>
              )}
            </p>
          </li>
        );
      })}
    </ul>
  );
}
