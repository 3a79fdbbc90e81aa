// Two deployments side by side: what they say differently, what they did, what came between.

import "../style/deployment.css";
import type { Compare, Selected } from "../api/documents.ts";
import { ChipTable } from "../parts/chip-table.tsx";
import { Diff } from "../parts/diff.tsx";
import { AllMissing } from "../parts/empty.tsx";
import { Instances } from "../parts/instances.tsx";
import { ToDeployment } from "../parts/link.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Panel } from "../parts/panel.tsx";
import { StateMark } from "../parts/state-mark.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { count, deltaWords, isWorse, share, shownOf } from "../parts/words.ts";

type Red = NonNullable<Compare["red_a"]>;

export default function ComparePage({ document: shown }: { document: Compare }) {
  const { a, b } = shown;
  return (
    <PageFrame
      title={`${a.chip.service} ${a.chip.version} and ${b.chip.service} ${b.chip.version}`}
      heading={
        <>
          {a.chip.service} <span class="mono">{a.chip.version}</span> and {b.chip.service}{" "}
          <span class="mono">{b.chip.version}</span>
        </>
      }
    >
      {shown.same_service ? null : (
        <p class="banner warn">They are of different services: most differences say little.</p>
      )}
      <section class="panel" aria-label="Side by side">
        <Table class="pair">
          <thead>
            <tr>
              <th scope="col">
                <span class="hidden-text">What</span>
              </th>
              <Head selected={a} />
              <Head selected={b} />
            </tr>
          </thead>
          <tbody>
            <Line name="Environment" a={a.chip.environment} b={b.chip.environment} />
            <Line name="Live" a={<When at={a.live_at} />} b={<When at={b.live_at} />} />
            <Line name="Owner" a={a.chip.owner ?? "–"} b={b.chip.owner ?? "–"} />
            <Line
              name="Requests"
              a={red(shown.red_a, (each) => count(Math.round(each.requests)))}
              b={red(shown.red_b, (each) => count(Math.round(each.requests)))}
            />
            <Line
              name="Requests a second"
              a={red(shown.red_a, (each) => number(each.requests_per_second))}
              b={red(shown.red_b, (each) => number(each.requests_per_second))}
            />
            <Line
              name="Error rate"
              a={red(shown.red_a, (each) => share(each.error_share))}
              b={red(shown.red_b, (each) => share(each.error_share))}
            />
            <Line
              name="Latency p50"
              a={red(shown.red_a, (each) => ms(each.latency_p50_ms))}
              b={red(shown.red_b, (each) => ms(each.latency_p50_ms))}
            />
            <Line
              name="Latency p95"
              a={red(shown.red_a, (each) => ms(each.latency_p95_ms))}
              b={red(shown.red_b, (each) => ms(each.latency_p95_ms))}
            />
            <Line
              name="Errors after against before"
              a={
                <span class={isWorse(shown.delta_a) ? "tone-bad" : ""}>
                  {deltaWords(shown.delta_a)}
                </span>
              }
              b={
                <span class={isWorse(shown.delta_b) ? "tone-bad" : ""}>
                  {deltaWords(shown.delta_b)}
                </span>
              }
            />
            <Line
              name="Instances"
              a={<Instances counts={shown.instances_a} />}
              b={<Instances counts={shown.instances_b} />}
            />
          </tbody>
        </Table>
      </section>
      <Panel title="What they say differently">
        <Diff fields={shown.fields} a={a.chip.version} b={b.chip.version} />
      </Panel>
      <Panel
        title="Deployed between them"
        note={shownOf(shown.between.length, shown.between_total)}
      >
        <ChipTable
          chips={shown.between}
          hasKeys
          empty="Nothing of this service was deployed between them."
        />
      </Panel>
      <AllMissing missing={shown.missing} />
    </PageFrame>
  );
}

function Head({ selected }: { selected: Selected }) {
  return (
    <th scope="col">
      <ToDeployment id={selected.chip.id}>
        <span class="mono">{selected.chip.version}</span>
      </ToDeployment>{" "}
      <StateMark state={selected.chip.state} />
    </th>
  );
}

function Line({
  name,
  a,
  b,
}: {
  name: string;
  a: preact.ComponentChildren;
  b: preact.ComponentChildren;
}) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{a}</td>
      <td>{b}</td>
    </tr>
  );
}

const red = (of: Red | null, say: (of: Red) => string) =>
  of === null ? <span class="calm">not measured</span> : say(of);
const number = (value: number | null) => (value === null ? "–" : value.toFixed(2));
const ms = (value: number | null) => (value === null ? "–" : `≤ ${value.toFixed(0)} ms`);
