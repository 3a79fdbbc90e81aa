// One deployment to its depths: proof, one wide timeline of everything, slowest spans against what
// ran before, measures from the moment it went live, what each instance runs, and its emitters.

import "../style/debug.css";
import { useLayoutEffect } from "preact/hooks";
import { at } from "../address/address.ts";
import { go } from "../address/router.ts";
import type { Debug, Selected } from "../api/documents.ts";
import { onAll } from "../keys/keyboard.ts";
import { askFor } from "../parts/actions.tsx";
import { AlignedChart } from "../parts/aligned.tsx";
import { AllMissing, Empty, Nothing } from "../parts/empty.tsx";
import { Entries } from "../parts/entries.tsx";
import { ToDeployment, ToEntry } from "../parts/link.tsx";
import { ListPanel } from "../parts/list-panel.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Facts, Panel } from "../parts/panel.tsx";
import { ProofWords } from "../parts/proof-words.tsx";
import { StateMark } from "../parts/state-mark.tsx";
import { Table } from "../parts/table.tsx";
import { Timeline } from "../parts/timeline.tsx";
import { Traces } from "../parts/traces.tsx";
import { When } from "../parts/when.tsx";
import { count, sentence, shortDigest, shownOf } from "../parts/words.ts";
import { address } from "../state/app.ts";
import { useChosenAt } from "../state/chosen.ts";
import { spelled } from "../time/instant.ts";

export default function DebugPage({ document: shown }: { document: Debug }) {
  const { selected } = shown;
  if (selected === null) {
    return (
      <PageFrame title="Debug">
        <section class="panel" aria-label="Nothing selected">
          <Empty>
            Nothing in this window is undecided or active. Choose a deployment on the page for
            people on call, or a longer window.
          </Empty>
        </section>
        <AllMissing missing={shown.missing} />
      </PageFrame>
    );
  }
  return <Depths shown={shown} selected={selected} />;
}

function Depths({ shown, selected }: { shown: Debug; selected: Selected }) {
  const { chip } = selected;
  useChosenAt(chip.at);
  useLayoutEffect(
    () =>
      onAll({
        open: () => go(at(address.peek(), "deployment", chip.id)),
        "roll-back": () => askFor(selected, "roll_back"),
        compare: () =>
          selected.previous !== null &&
          go(at(address.peek(), "compare", selected.previous, chip.id)),
      }),
    [selected],
  );
  return (
    <PageFrame
      title={`Debug ${chip.service} ${chip.version}`}
      heading={
        <>
          {chip.service} <span class="mono">{chip.version}</span> in {chip.environment}
        </>
      }
      note={<StateMark state={chip.state} />}
    >
      <section class="panel" aria-label="Header">
        <div class="inside stack">
          {shown.proof === null ? null : <ProofWords proof={shown.proof} />}
          <Facts
            facts={[
              ["Deployment", <ToDeployment id={chip.id} />],
              [
                "Digest",
                selected.digest === null ? null : <span class="mono">{selected.digest}</span>,
              ],
              ["Owner", chip.owner],
              ["Opened", <When at={selected.opened_at} />],
              ["Live", <When at={selected.live_at} />],
              ...shown.phases.map(
                (phase) => [sentence(phase.phase), <When at={phase.at} />] as const,
              ),
            ]}
          />
        </div>
      </section>

      <Panel title="Timeline" note={shownOf(shown.events.length, shown.events_total)}>
        <Timeline document={shown} />
        {shown.events.length === 0 ? <Empty>Nothing happened to it in this window.</Empty> : null}
        <details>
          <summary>As a list</summary>
          <Table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">What</th>
                <th scope="col">Where</th>
                <th scope="col">Entry</th>
              </tr>
            </thead>
            <tbody>
              {shown.events.map((event) => (
                <tr key={event.index}>
                  <td class="calm">
                    <When at={event.at_ms} />
                  </td>
                  <th scope="row" class="break">
                    {sentence(event.type)} {sentence(event.event)}{" "}
                    <span class="calm">{event.sentence}</span>
                  </th>
                  <td>{event.place ?? "–"}</td>
                  <td>
                    <ToEntry index={event.index} />
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        </details>
      </Panel>

      <Panel title="From the moment it went live" note="t = 0 is when each went live">
        {shown.aligned.length === 0 ? (
          <Nothing missing={shown.missing} what="aligned">
            No instance of it sends metrics that carry its deployment id.
          </Nothing>
        ) : (
          <AlignedChart aligned={shown.aligned} />
        )}
      </Panel>

      <div class="grid-2">
        <ListPanel
          title="Slowest spans against what ran before"
          shown={shown.spans.length}
          total={shown.spans_total}
          missing={shown.missing}
          what="spans"
          empty="No slow trace of it is kept."
        >
          <Table>
            <thead>
              <tr>
                <th scope="col">Operation</th>
                <th scope="col" class="number">
                  This
                </th>
                <th scope="col" class="number">
                  Before
                </th>
                <th scope="col">Trace</th>
              </tr>
            </thead>
            <tbody>
              {shown.spans.map((span) => (
                <tr key={span.trace_id + span.name}>
                  <th scope="row" class="break">
                    {span.name}{" "}
                    {span.route === null ? null : <span class="mono calm">{span.route}</span>}
                  </th>
                  <td class="number">{span.new_ms.toFixed(1)} ms</td>
                  <td class="number calm">
                    {span.baseline_ms === null ? "none kept" : `${span.baseline_ms.toFixed(1)} ms`}
                  </td>
                  <td class="mono break">{span.trace_id.slice(0, 16)}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </ListPanel>
        <Panel title="Traces" note={shownOf(shown.traces.length, shown.traces_total)}>
          <Traces
            traces={shown.traces}
            empty="No slow or failing trace carries its id. Send OpenTelemetry traces to /v1/traces."
          />
        </Panel>
      </div>

      <ListPanel
        title="Log excerpts"
        shown={shown.logs.length}
        total={shown.logs_total}
        note="errors first"
        missing={shown.missing}
        what="logs"
        empty="No log record carries its id. Send OpenTelemetry logs to /v1/logs."
      >
        <ul class="list">
          {shown.logs.map((line, i) => (
            <li key={i}>
              <span class="break">
                <span class="calm">
                  <When at={line.at} />
                </span>{" "}
                <span class={`state tone-${line.severity >= 17 ? "bad" : "calm"}`}>
                  {line.severity >= 17 ? "✕ error" : "○ info"}
                </span>{" "}
                <span class="mono">{line.text}</span>
              </span>
            </li>
          ))}
        </ul>
      </ListPanel>

      <ListPanel
        title="What each instance runs"
        shown={shown.instances.length}
        total={shown.instances_total}
        missing={shown.missing}
        what="instances"
        empty="No instance reports what it runs: deploymark observe, or the SDK's startup()."
      >
        <Table>
          <thead>
            <tr>
              <th scope="col">Instance</th>
              <th scope="col">Where</th>
              <th scope="col">Status</th>
              <th scope="col">Wanted</th>
              <th scope="col">Running</th>
              <th scope="col">Known by</th>
              <th scope="col">Pull</th>
              <th scope="col">Last heard</th>
            </tr>
          </thead>
          <tbody>
            {shown.instances.map((instance) => (
              <tr key={instance.instance_uid}>
                <th scope="row" class="break">
                  {instance.name ?? instance.instance_uid}
                </th>
                <td>
                  {[instance.cluster, instance.zone, instance.node].filter(Boolean).join(" · ") ||
                    "–"}
                </td>
                <td>
                  <InstanceStatus status={instance.status} />
                </td>
                <td class="mono">
                  {instance.wanted === null ? "–" : shortDigest(instance.wanted)}
                </td>
                <td class="mono">
                  {instance.running === null ? "–" : shortDigest(instance.running)}
                </td>
                <td>{instance.basis === null ? "–" : sentence(instance.basis)}</td>
                <td class="break">{instance.pull ?? "not reported"}</td>
                <td class="calm">
                  <When at={instance.last_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      </ListPanel>

      <ListPanel
        title="Emitters"
        shown={shown.emitters.length}
        total={shown.emitters_total}
        missing={shown.missing}
        what="emitters"
        empty="No emitter is known."
      >
        <Table>
          <thead>
            <tr>
              <th scope="col">Emitter</th>
              <th scope="col" class="number">
                Markers
              </th>
              <th scope="col">Last</th>
              <th scope="col" class="number">
                Clock ahead
              </th>
              <th scope="col" class="number">
                Late
              </th>
              <th scope="col" class="number">
                Missing
              </th>
              <th scope="col" class="number">
                Duplicates
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.emitters.map((emitter) => (
              <tr key={emitter.emitter}>
                <th scope="row" class="break">
                  {emitter.emitter} <span class="calm">{emitter.kind}</span>
                </th>
                <td class="number">{count(emitter.markers)}</td>
                <td class="calm">
                  <When at={emitter.last_at} />
                </td>
                <td class="number">{spelled(emitter.ahead_ms)}</td>
                <td class="number">
                  {emitter.late_ms === null ? "–" : spelled(emitter.late_ms)}{" "}
                  <span class="calm">(most {spelled(emitter.late_most_ms)})</span>
                </td>
                <td class={`number ${emitter.missing_numbers > 0 ? "tone-bad" : ""}`}>
                  {emitter.missing_numbers > 0 ? "▲ " : ""}
                  {count(emitter.missing_numbers)}
                </td>
                <td class="number">
                  {emitter.duplicates === null ? "not counted" : count(emitter.duplicates)}
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      </ListPanel>

      <Panel title="Entries" note={shownOf(shown.entries.length, shown.entries_total)}>
        <Entries entries={shown.entries} />
      </Panel>
      <AllMissing missing={shown.missing} told={["aligned", "spans", "logs", "instances"]} />
    </PageFrame>
  );
}

function InstanceStatus({ status }: { status: string }) {
  const [glyph, tone] =
    status === "confirmed" ? ["✓", "good"] : status === "mismatched" ? ["✕", "bad"] : ["?", "warn"];
  return (
    <span class={`state tone-${tone}`}>
      <span class="state-glyph" aria-hidden="true">
        {glyph}
      </span>{" "}
      {status}
    </span>
  );
}
