// For a person on call, in the order of the questions: is it a deployment, which, whose, what state,
// where, how bad, what is being done about it.

import "../style/oncall.css";
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { at, formatAddress } from "../address/address.ts";
import { excludes } from "../address/filter.ts";
import { go, select } from "../address/router.ts";
import { ask, Problem } from "../api/client.ts";
import type { Chip, DeploymentPage, OnCall, Selected, SeriesSet } from "../api/documents.ts";
import { onAll } from "../keys/keyboard.ts";
import { neighbour, walked } from "../keys/walk.ts";
import { ActionButton, askFor, offerOf } from "../parts/actions.tsx";
import { AllMissing } from "../parts/empty.tsx";
import { To } from "../parts/link.tsx";
import { Notices } from "../parts/notices.tsx";
import { StateMark } from "../parts/state-mark.tsx";
import {
  count,
  counted,
  deltaWords,
  isWorse,
  score,
  shortDigest,
  sourceWords,
} from "../parts/words.ts";
import { address, isLoading, now, say } from "../state/app.ts";
import { useChosenAt } from "../state/chosen.ts";
import { columns } from "../state/load.ts";
import { isNarrow } from "../state/narrow.ts";
import { lookOf } from "../state/shown.ts";
import { ago, parsed, rfc3339 } from "../time/instant.ts";
import { useChanges } from "./oncall/changes.ts";
import { Figure } from "./oncall/figure.tsx";
import { Canaries, Deltas, Findings, Rollbacks } from "./oncall/panels.tsx";
import { rows, Stream } from "./oncall/stream.tsx";

const AGAIN_MS = 15_000;

export default function OnCallPage({ document: shown }: { document: OnCall }) {
  const chosen = address.value.selected ?? usualChoice(shown);
  const detail = useDetail(shown, chosen);
  const chip = detail?.chip.id === chosen ? detail.chip : chipOf(shown, chosen);
  const span = { since: shown.window.since_ms, until: shown.window.until_ms };
  useLeaving(shown, detail);
  const { series, problem } = useSeries(shown, chip);
  const changes = useChanges(chip, shown.as_of);

  useChosenAt(chip?.at ?? null);
  useEffect(() => {
    document.title = `${shown.verdict.sentence} – deploymark`;
  }, [shown.verdict.sentence]);
  useLayoutEffect(
    () =>
      onAll({
        next: () => step(1, shown, address.peek().selected ?? chosen),
        previous: () => step(-1, shown, address.peek().selected ?? chosen),
        open: () =>
          chosen !== null && go({ ...at(address.peek(), "deployment", chosen), selected: null }),
        compare: () => compare(detail),
        "go-debug": () => go({ ...at(address.peek(), "debug"), selected: chosen }),
        "roll-back": () =>
          detail === null ? say("Nothing is selected.") : askFor(detail, "roll_back"),
      }),
    [shown, chosen, detail],
  );

  // On a phone it stands under the suspects: at the bottom it would cover the charts.
  const bar = <SelectionBar chip={chip} detail={detail} />;
  return (
    <div class="oncall">
      <main id="content" class="oncall-main" aria-busy={isLoading.value}>
        <div class="heading">
          <Verdict document={shown} />
          <Suspects document={shown} chosen={chosen} />
        </div>
        <Notices notices={shown.notices} />
        {isNarrow.value ? bar : null}
        <Figure
          lanes={shown.lanes}
          marks={shown.marks.items}
          span={span}
          chosen={chip}
          series={series}
          changes={changes}
          seriesProblem={problem}
          missing={shown.missing}
        />
        {shown.marks.left_out > 0 ? (
          <p class="calm small">
            {count(shown.marks.total - shown.marks.left_out)} of {count(shown.marks.total)}{" "}
            deployments are drawn; the worst are among them. A shorter window or a filter shows all.
          </p>
        ) : null}
        <div class="grid-2">
          <Canaries document={shown} />
          <Rollbacks document={shown} />
        </div>
        <div class="grid-2">
          <Deltas document={shown} />
          <Findings document={shown} />
        </div>
        <AllMissing
          missing={shown.missing}
          told={["canaries", "rollbacks", "deltas", "series", "findings", "lag"]}
        />
      </main>
      <Stream document={shown} chosen={chosen} />
      {isNarrow.value ? null : bar}
    </div>
  );
}

const isFrozen = () => address.value.page === "frozen";

/** What is chosen where the address chooses nothing. A frozen view remembers what was. */
function usualChoice(shown: OnCall): string | null {
  const kept = isFrozen() ? shown.selected?.chip.id : undefined;
  return kept ?? shown.verdict.id ?? shown.suspects[0]?.id ?? null;
}

function Verdict({ document: shown }: { document: OnCall }) {
  const { verdict, counts, in_view, total } = shown;
  const unhealthy = counts.filter(
    (each) =>
      ![
        "healthy",
        "complete",
        "superseded",
        "config",
        "planned",
        "removed",
        "rolled_back",
      ].includes(each.state),
  );
  const words = unhealthy.map((each) => `${count(each.count)} ${lookOf(each.state).word}`);
  // Beside the verdict: what it is said of may be old.
  const lag = shown.missing.find((each) => each.what === "lag");
  return (
    <section class={`verdict level-${verdict.level}`} aria-label="Is it a deployment?">
      <h1>{verdict.sentence}</h1>
      {verdict.reason ? <p class="break">{verdict.reason}</p> : null}
      {lag ? <p class="break tone-bad">{lag.sentence}</p> : null}
      <p class="calm">
        {[...words, `${counted(in_view, "deployment")} in view of ${count(total)}`].join(" · ")}
      </p>
    </section>
  );
}

/** Held as they are while somebody points at one of them. */
function Suspects({ document: shown, chosen }: { document: OnCall; chosen: string | null }) {
  const isOver = useSignal(false);
  const held = useRef(shown);
  if (!isOver.value || held.current.window.range !== shown.window.range) held.current = shown;
  const { suspects, suspects_total } = held.current;
  if (suspects.length === 0) {
    return (
      <p class="panel empty suspects-none">
        Nothing that was deployed in this window is undecided or active.
      </p>
    );
  }
  return (
    <ol
      class="suspects"
      aria-label="Suspects"
      onPointerEnter={() => {
        isOver.value = true;
      }}
      onPointerLeave={() => {
        isOver.value = false;
      }}
    >
      {suspects.map((chip) => (
        <Suspect key={chip.id} chip={chip} isChosen={chip.id === chosen} />
      ))}
      {suspects_total > suspects.length ? (
        <li class="more">
          <a href={formatAddress(at(address.value, "deployments"))}>
            {count(suspects_total - suspects.length)} more
          </a>
        </li>
      ) : null}
    </ol>
  );
}

function Suspect({ chip, isChosen }: { chip: Chip; isChosen: boolean }) {
  const instant = parsed(chip.at);
  const places = chip.places.length > 0 ? chip.places.join(", ") : chip.environment;
  const more =
    chip.places_total > chip.places.length ? ` +${chip.places_total - chip.places.length}` : "";
  return (
    <li data-id={chip.id} data-state={chip.state} class={`tone-edge-${lookOf(chip.state).tone}`}>
      <a
        href={formatAddress({ ...address.value, selected: chip.id })}
        aria-current={isChosen ? "true" : undefined}
        title={chip.reason ?? undefined}
      >
        <span class="suspect-head">
          <span class="clip">
            <strong>{chip.service}</strong> <span class="mono">{chip.version}</span>
          </span>
          <span class="small">
            <StateMark state={chip.state} />
          </span>
        </span>
        <span class="clip calm">
          {isWorse(chip.delta) ? (
            <strong class="tone-bad">{deltaWords(chip.delta)}</strong>
          ) : (
            deltaWords(chip.delta)
          )}
          {instant === null ? "" : ` · ${ago(instant, now.value)}`}
        </span>
        <span class="clip calm">
          {chip.owner ?? chip.author ?? "no owner"} · {places}
          {more}
          {chip.score === null ? "" : ` · score ${score(chip.score)}`}
        </span>
      </a>
    </li>
  );
}

function SelectionBar({ chip, detail }: { chip: Chip | null; detail: Selected | null }) {
  if (chip === null) {
    return (
      <section class="selection" aria-label="Selected deployment">
        <p class="calm">
          Nothing is selected: choose a row with <kbd>j</kbd> and <kbd>k</kbd>.
        </p>
      </section>
    );
  }
  const rollBack = detail === null ? undefined : offerOf(detail, "roll_back");
  const facts: [string, preact.ComponentChildren, string?][] = [
    ["State", <StateMark state={chip.state} />],
    [
      "Artifact",
      detail?.digest ? (
        <span class="mono" title={detail.digest}>
          {shortDigest(detail.digest)}
        </span>
      ) : (
        (detail?.commit_hash?.slice(0, 12) ?? "–")
      ),
    ],
    ["Owner", chip.owner ?? chip.author ?? "–"],
    ["Ticket", detail?.tickets.join(", ") || chip.ticket || "–"],
    ["Where", chip.places.length > 0 ? chip.places.join(", ") : chip.environment],
    ["Heard from", detail === null ? (isFrozen() ? "not kept" : "…") : sourceWords(detail.sources)],
    ["Strategy", detail?.strategy ?? "–"],
  ];
  return (
    <section class="selection" aria-label="Selected deployment">
      <dl class="facts">
        <div class="selected-name">
          <dt>Deployment</dt>
          <dd class="clip">
            <strong>{chip.service}</strong> <span class="mono">{chip.version}</span>
          </dd>
        </div>
        {facts.map(([name, value]) => (
          <div key={name} class={`fact-${name.toLowerCase().replace(" ", "-")}`}>
            <dt>{name}</dt>
            <dd class="clip">{value}</dd>
          </div>
        ))}
      </dl>
      <div class="row">
        <To page="deployment" about={[chip.id]} class="button">
          Open <kbd>↵</kbd>
        </To>
        <button
          type="button"
          class="button"
          aria-disabled={!detail?.previous}
          onClick={() => compare(detail)}
        >
          Compare <kbd>c</kbd>
        </button>
        {detail === null || rollBack === undefined ? null : (
          <ActionButton selected={detail} offer={rollBack} shortcut="r" />
        )}
      </div>
    </section>
  );
}

const NOTHING_BEFORE = "Nothing is known to have run before it.";

function compare(detail: Selected | null): void {
  if (!detail?.previous) {
    const isUnkept = detail === null && address.peek().page === "frozen";
    say(isUnkept ? "This view keeps no more of it: open it." : NOTHING_BEFORE);
    return;
  }
  go({ ...at(address.peek(), "compare", detail.previous, detail.chip.id), selected: null });
}

/** Keys walk deployments, each once: the suspects first, then what else the stream tells of. */
function step(by: 1 | -1, shown: OnCall, chosen: string | null): void {
  const ids = walked(
    shown.suspects.map((chip) => chip.id),
    rows.peek().shown.map((event) => event.id),
  );
  const id = neighbour(ids, chosen, by);
  if (id === null) return;
  select(id);
  requestAnimationFrame(() =>
    document
      .querySelector(".suspects [aria-current], .stream .is-chosen")
      ?.scrollIntoView({ block: "nearest" }),
  );
}

/** The chip of an id wherever the document has one; of a row, as much as the row says. */
function chipOf(shown: OnCall, id: string | null): Chip | null {
  if (id === null) return null;
  const chips = [
    ...shown.suspects,
    ...shown.canaries.map((each) => each.chip),
    ...shown.rollbacks.map((each) => each.chip),
    ...shown.deltas.map((each) => each.chip),
  ];
  const known = chips.find((chip) => chip.id === id);
  if (known !== undefined) return known;
  const row = rows.value.shown.find((event) => event.id === id);
  const mark = shown.marks.items.find((each) => each.id === id);
  if (row === undefined && mark === undefined) return null;
  return {
    id,
    service: row?.service ?? mark?.service ?? "",
    environment: row?.environment ?? "",
    version: row?.version ?? mark?.version ?? "",
    kind: "deployment",
    state: row?.state ?? mark?.state ?? "unknown",
    owner: row?.who ?? null,
    author: null,
    at: row?.at ?? rfc3339(mark?.at_ms ?? 0),
    live: false,
    places: [],
    places_total: 0,
    score: null,
    delta: null,
    ticket: null,
    reason: null,
  };
}

/** What the document does not carry of the chosen deployment, asked for once for each document. A
 * frozen view asks for nothing: how it stands now is not how it stood. */
function useDetail(shown: OnCall, chosen: string | null): Selected | null {
  const [detail, setDetail] = useState<Selected | null>(null);
  const carried = shown.selected?.chip.id === chosen ? shown.selected : null;
  useEffect(() => {
    if (chosen === null || carried !== null || isFrozen()) return;
    const end = new AbortController();
    ask<DeploymentPage>(`/d/${encodeURIComponent(chosen)}`, { signal: end.signal })
      .then((page) => setDetail(page.selected))
      .catch((error: unknown) => {
        if (!end.signal.aborted && error instanceof Problem) say(error.told.detail);
      });
    return () => end.abort();
  }, [chosen, carried === null, shown.as_of]);
  if (carried !== null) return carried;
  return detail?.chip.id === chosen ? detail : null;
}

/** A selection ends with another filter that excludes it; what is not known of it leaves it. */
function useLeaving(shown: OnCall, detail: Selected | null): void {
  const known = useRef<Chip | null>(null);
  if (detail !== null) known.current = detail.chip;
  const filter = useRef(shown.filter.q);
  useEffect(() => {
    if (filter.current === shown.filter.q) return;
    filter.current = shown.filter.q;
    const chip = known.current;
    if (chip === null || chip.id !== address.peek().selected) return;
    if (excludes(shown.filter.words, chip)) select(null);
  }, [shown.filter.q]);
}

/** The four series of the chosen deployment's service, or of all; made anew every quarter minute. */
function useSeries(
  shown: OnCall,
  chip: Chip | null,
): { series: SeriesSet | null; problem: string | null } {
  const [series, setSeries] = useState<SeriesSet | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const asked = useRef({ key: "", at: 0 });
  const { range, since_at, until_at } = shown.window;
  const place = `${range ?? `${since_at} ${until_at}`} ${chip?.service ?? ""} ${chip?.environment ?? ""}`;
  useEffect(() => {
    const key = `${place} ${columns()}`;
    if (asked.current.key === key && Date.now() - asked.current.at < AGAIN_MS) return;
    asked.current = { key, at: Date.now() };
    const query = new URLSearchParams({
      since: since_at,
      until: until_at,
      width: String(columns()),
    });
    if (chip?.service) query.set("service", chip.service);
    if (chip?.environment) query.set("environment", chip.environment);
    ask<SeriesSet>(`/v1/series?${query}`)
      .then((found) => {
        if (asked.current.key !== key) return;
        setSeries(found);
        setProblem(null);
      })
      .catch((error: unknown) => {
        if (!(error instanceof Problem) || asked.current.key !== key) return;
        setProblem(`${error.told.detail} ${error.told.hint}`);
        asked.current = { key: "", at: 0 }; // with the next document
      });
  }, [place, shown.as_of, until_at]);
  return { series, problem };
}
