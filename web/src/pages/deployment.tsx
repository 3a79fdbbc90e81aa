// One deployment: how it stands and what may be done, what is evidence of it, where it is, what it
// did to requests, what changed with it, and the entries that prove all that.

import "../style/deployment.css";
import { useLayoutEffect } from "preact/hooks";
import { at } from "../address/address.ts";
import { go } from "../address/router.ts";
import type { DeploymentPage, Offer } from "../api/documents.ts";
import { onAll } from "../keys/keyboard.ts";
import { ActionButton, askFor } from "../parts/actions.tsx";
import { Command } from "../parts/copy.tsx";
import { Diff } from "../parts/diff.tsx";
import { AllMissing, Empty } from "../parts/empty.tsx";
import { Entries } from "../parts/entries.tsx";
import { Instances } from "../parts/instances.tsx";
import { Outside, To, ToDeployment, ToEntry } from "../parts/link.tsx";
import { ListPanel } from "../parts/list-panel.tsx";
import { Notices } from "../parts/notices.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Facts, Panel } from "../parts/panel.tsx";
import { ProofWords } from "../parts/proof-words.tsx";
import { ReceiptCheck } from "../parts/receipt-check.tsx";
import { ResultMark, StateMark } from "../parts/state-mark.tsx";
import { Table } from "../parts/table.tsx";
import { Traces } from "../parts/traces.tsx";
import { When } from "../parts/when.tsx";
import {
  deltaWords,
  isWorse,
  points,
  sentence,
  share,
  shownOf,
  sourceWords,
} from "../parts/words.ts";
import { address } from "../state/app.ts";
import { CanaryLine, FindingList } from "./oncall/panels.tsx";

const STEPS: Record<string, string> = {
  intent: "Intent",
  applied: "Applied",
  running: "Running",
  verified: "Verified",
  promoted: "Promoted",
};

export default function OneDeploymentPage({ document: shown }: { document: DeploymentPage }) {
  const { selected } = shown;
  const { chip } = selected;
  useLayoutEffect(
    () =>
      onAll({
        "roll-back": () => askFor(selected, "roll_back"),
        compare: () =>
          selected.previous !== null &&
          go(at(address.peek(), "compare", selected.previous, chip.id)),
        "go-debug": () => go({ ...at(address.peek(), "debug"), selected: chip.id }),
      }),
    [selected],
  );
  return (
    <PageFrame
      title={`${chip.service} ${chip.version}`}
      heading={
        <>
          {chip.service} <span class="mono">{chip.version}</span> in {chip.environment}
        </>
      }
      note={<StateMark state={chip.state} />}
      class="deployment"
    >
      <Notices notices={shown.notices} />
      <section class="panel" aria-label="Verdict and actions">
        <div class="inside stack">
          <p class="verdict-line break">{shown.verdict}</p>
          <ProofWords proof={shown.proof} />
          <Facts
            facts={[
              ["Id", <span class="mono">{chip.id}</span>],
              [
                "Artifact",
                selected.artifact === null ? null : <span class="mono">{selected.artifact}</span>,
              ],
              [
                "Digest",
                selected.digest === null ? null : <span class="mono">{selected.digest}</span>,
              ],
              [
                "Commit",
                selected.commit_hash === null ? null : (
                  <span class="mono">{selected.commit_hash}</span>
                ),
              ],
              ["Owner", chip.owner],
              ["Author", chip.author],
              [
                "Tickets",
                selected.tickets.length === 0
                  ? null
                  : selected.tickets.map((ticket) => (
                      <a key={ticket} href={`/audit?ticket=${encodeURIComponent(ticket)}`}>
                        {ticket}{" "}
                      </a>
                    )),
              ],
              ["Strategy", selected.strategy],
              ["Opened", <When at={selected.opened_at} />],
              ["Live", <When at={selected.live_at} />],
              ["Ended", <When at={selected.ended_at} />],
              ["Heard from", sourceWords(selected.sources)],
            ]}
          />
          <div class="row not-printed">
            {selected.actions.map((offer) => (
              <ActionButton
                key={offer.action}
                selected={selected}
                offer={offer}
                shortcut={offer.action === "roll_back" ? "r" : undefined}
              />
            ))}
            {selected.previous === null ? null : (
              <To page="compare" about={[selected.previous, chip.id]} class="button">
                Compare <kbd>c</kbd>
              </To>
            )}
            <a class="button" href={`/debug?dep=${encodeURIComponent(chip.id)}`}>
              Debug <kbd>g b</kbd>
            </a>
          </div>
          <ul class="calm small not-printed">
            {refusals(selected.actions).map(([why, actions]) => (
              <li key={why} class="break">
                {actions.map(sentence).join(", ")}: {why}
              </li>
            ))}
          </ul>
        </div>
      </section>

      <Panel title="Evidence trail">
        <ol class="trail">
          {shown.trail.map((step) => (
            <li key={step.step} class={step.missing === null ? "" : "is-missing"}>
              <span class={`state tone-${step.missing === null ? "good" : "calm"}`}>
                <span class="state-glyph" aria-hidden="true">
                  {step.missing === null ? "✓" : "○"}
                </span>{" "}
                <strong>{STEPS[step.step] ?? step.step}</strong>
              </span>
              {step.missing === null ? (
                <span class="break">
                  <When at={step.at} /> {step.who}{" "}
                  {step.index === null ? null : <ToEntry index={step.index} />}
                </span>
              ) : (
                <span class="calm break">{step.missing}</span>
              )}
            </li>
          ))}
        </ol>
      </Panel>

      <div class="grid-2">
        <Panel title="Blast radius" note={shownOf(shown.areas.length, shown.areas_total)}>
          <div class="inside stack">
            <Instances counts={shown.instances} />
          </div>
          {shown.areas.length === 0 ? null : (
            <ul class="list">
              {shown.areas.map((area) => (
                <li key={[area.cluster, area.region, area.zone].join()}>
                  <strong>
                    {[area.cluster, area.region, area.zone].filter(Boolean).join(" · ") ||
                      "no place named"}
                  </strong>
                  <Instances
                    counts={area.instances}
                    isPart={shown.areas.filter((each) => each.cluster === area.cluster).length > 1}
                  />
                </li>
              ))}
            </ul>
          )}
        </Panel>
        <Panel title="Errors and canary" note="30 min after minus 30 min before">
          <div class="inside stack">
            <p>
              <strong class={isWorse(shown.delta) ? "tone-bad" : ""}>
                {deltaWords(shown.delta)}
              </strong>{" "}
              {shown.delta === null || shown.delta.points === null ? null : (
                <span class="calm">
                  {share(shown.delta.before)} → {share(shown.delta.after)}
                  {shown.delta.low === null || shown.delta.high === null
                    ? ""
                    : `, between ${points(shown.delta.low)} and ${points(shown.delta.high)}`}
                </span>
              )}
            </p>
            {shown.canary === null ? (
              <p class="calm">It is not rolled out by steps.</p>
            ) : (
              <CanaryLine canary={shown.canary} />
            )}
          </div>
          <Looks looks={shown.looks} total={shown.looks_total} />
        </Panel>
      </div>

      {shown.decisions.length === 0 ? null : (
        <Panel title="Decisions" note={shownOf(shown.decisions.length, shown.decisions_total)}>
          <ul class="list">
            {shown.decisions.map((decision) => (
              <li key={decision.index}>
                <span class="break">
                  <ToEntry index={decision.index} /> <When at={decision.at} />{" "}
                  <strong>{sentence(decision.action)}</strong> {sentence(decision.stage)}
                  {decision.outcome === null ? "" : `: ${sentence(decision.outcome)}`} by{" "}
                  {decision.actor}
                  {decision.break_glass ? <span class="tone-bad"> ▲ break-glass</span> : null}
                </span>
                {decision.reason === null ? null : (
                  <span class="calm small break">{decision.reason}</span>
                )}
              </li>
            ))}
          </ul>
        </Panel>
      )}

      <div class="grid-2">
        <ListPanel
          title="What changed"
          shown={shown.changes.length}
          total={shown.changes_total}
          missing={shown.missing}
          what="changes"
          empty="No change is named. Markers name them in `changes`, and CI fills them from the commits."
        >
          <ul class="list">
            {shown.changes.map((change, i) => (
              <li key={i} class="break">
                <span>
                  <span class="calm">{sentence(change.kind)}</span>{" "}
                  {change.link === null ? (
                    change.what
                  ) : (
                    <Outside link={change.link}>{change.what}</Outside>
                  )}
                  {change.who === null ? "" : ` · ${change.who}`}
                </span>
              </li>
            ))}
          </ul>
        </ListPanel>
        <Panel
          title="Against what ran before"
          note={
            shown.previous === null ? undefined : (
              <ToDeployment id={shown.previous.id}>
                <span class="mono">{shown.previous.version}</span>
              </ToDeployment>
            )
          }
        >
          {shown.previous === null ? (
            <Empty>Nothing is known to have run before it.</Empty>
          ) : (
            <Diff fields={shown.changed} a="Before" b="This" />
          )}
        </Panel>
      </div>

      {shown.findings.length === 0 ? null : (
        <Panel title="Findings" note={shownOf(shown.findings.length, shown.findings_total)}>
          <FindingList findings={shown.findings} />
        </Panel>
      )}

      <Panel title="Traces" note={shownOf(shown.traces.length, shown.traces_total)}>
        <Traces
          traces={shown.traces}
          empty="No slow or failing trace carries its id. Send OpenTelemetry traces to /v1/traces."
        />
      </Panel>

      <Panel title="Proof in the log">
        <div class="inside stack">
          {shown.receipt_index === null ? (
            <p class="calm">No published entry speaks of it yet.</p>
          ) : (
            <ReceiptCheck index={shown.receipt_index} />
          )}
          {shown.verify_command === null ? null : <Command command={shown.verify_command} />}
        </div>
      </Panel>

      <Panel title="Entries" note={shownOf(shown.entries.length, shown.entries_total)}>
        <Entries entries={shown.entries} />
      </Panel>

      {shown.occurrences.length > 1 ? (
        <Panel
          title="Times that it was deployed"
          note={shownOf(shown.occurrences.length, shown.occurrences_total)}
        >
          <ul class="list">
            {shown.occurrences.map((each) => (
              <li key={each.id}>
                <span class="break">
                  <ToDeployment id={each.id} /> {sentence(each.state)} · opened{" "}
                  <When at={each.opened_at} /> · live <When at={each.live_at} /> · ended{" "}
                  <When at={each.ended_at} />
                </span>
              </li>
            ))}
          </ul>
        </Panel>
      ) : null}
      <AllMissing missing={shown.missing} />
    </PageFrame>
  );
}

/** Why actions are not offered, each reason once with the actions that it is the reason for. */
function refusals(offers: readonly Offer[]): [string, string[]][] {
  const found = new Map<string, string[]>();
  for (const { action, allowed, why_not } of offers) {
    if (!allowed && why_not !== null) found.set(why_not, [...(found.get(why_not) ?? []), action]);
  }
  return [...found];
}

function Looks({ looks, total }: { looks: DeploymentPage["looks"]; total: number }) {
  if (looks.length === 0) return null;
  return (
    <details>
      <summary>Looks: {shownOf(looks.length, total)}</summary>
      <Table>
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">Look</th>
            <th scope="col">Result</th>
            <th scope="col" class="number">
              Score
            </th>
            <th scope="col">Advice</th>
            <th scope="col">Reasons</th>
          </tr>
        </thead>
        <tbody>
          {looks.map((look) => (
            <tr key={look.index}>
              <td class="calm">
                <When at={look.at} />
              </td>
              <th scope="row" class="nowrap">
                {look.step === null ? "" : `step ${look.step}, `}
                {look.look} <ToEntry index={look.index} />
              </th>
              <td>
                <ResultMark result={look.result} />
              </td>
              <td class="number">{look.score.toFixed(0)}</td>
              <td>{sentence(look.advice)}</td>
              <td class="calm">{look.reasons.map(sentence).join(", ") || "–"}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </details>
  );
}
