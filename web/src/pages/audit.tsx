// The log for somebody who doubts it: what is missing first, how fresh the checkpoint is and who
// witnessed it, then entries by ticket, owner or digest.

import { goTo } from "../address/router.ts";
import type { Audit } from "../api/documents.ts";
import { AuditTable } from "../parts/audit-table.tsx";
import { Command } from "../parts/copy.tsx";
import { AllMissing, Empty, Nothing } from "../parts/empty.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { Facts, Panel } from "../parts/panel.tsx";
import { When } from "../parts/when.tsx";
import { count, counted, shownOf } from "../parts/words.ts";
import { length } from "../time/instant.ts";

export default function AuditPage({ document: shown }: { document: Audit }) {
  const { checkpoint } = shown;
  return (
    <PageFrame
      title="Audit"
      note={`${counted(shown.entries_total, "entry", "entries")} in the log`}
    >
      <Panel
        title="Gaps"
        note={`${shownOf(shown.gaps.length, shown.gaps_total)} · ${counted(shown.emitters_total, "emitter")}`}
      >
        {shown.gaps.length === 0 ? (
          <Nothing missing={shown.missing} what="gaps">
            No emitter gave a number that never came: nothing is known to be missing.
          </Nothing>
        ) : (
          <ul class="list">
            {shown.gaps.map((gap) => (
              <li key={gap.emitter + gap.principal + gap.epoch}>
                <span class="break">
                  <span class="state tone-warn">▲ {count(gap.missing)} missing</span> of{" "}
                  <strong>{gap.emitter}</strong>{" "}
                  <span class="calm">
                    ({gap.principal}, run {gap.epoch}
                    {gap.first === null ? "" : `, numbers ${gap.first} to ${gap.last ?? gap.first}`}
                    {gap.since_at === null ? "" : ", since "}
                    {gap.since_at === null ? null : <When at={gap.since_at} />})
                  </span>
                </span>
              </li>
            ))}
          </ul>
        )}
      </Panel>
      <div class="grid-2">
        <Panel title="Checkpoint">
          {checkpoint === null ? (
            <Nothing missing={shown.missing} what="checkpoint">
              No checkpoint has been published yet.
            </Nothing>
          ) : (
            <div class="inside stack">
              <Facts
                facts={[
                  ["Origin", checkpoint.origin],
                  ["Entries covered", count(checkpoint.size)],
                  ["Behind it", count(checkpoint.unpublished)],
                  [
                    "Age",
                    checkpoint.age_seconds === null ? null : length(checkpoint.age_seconds * 1000),
                  ],
                  ["Root", <span class="mono">{checkpoint.root_hash}</span>],
                ]}
              />
              <details>
                <summary>The signed note</summary>
                <pre>{checkpoint.text}</pre>
              </details>
            </div>
          )}
        </Panel>
        <Panel title="Witnesses" note={count(shown.witnesses.length)}>
          {shown.witnesses.length === 0 ? (
            <Nothing missing={shown.missing} what="witnesses">
              Nobody else has signed this checkpoint. A witness keeps this server from showing
              different logs to different people: deploymark log witness.
            </Nothing>
          ) : (
            <ul class="list">
              {shown.witnesses.map((witness) => (
                <li key={witness.name + witness.key_id}>
                  <span class="break">
                    <strong>{witness.name}</strong> <span class="mono calm">{witness.key_id}</span>{" "}
                    {witness.age_seconds === null
                      ? ""
                      : `signed ${length(witness.age_seconds * 1000)} ago`}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </Panel>
      </div>
      <Panel title="Entries" note="the newest first">
        <Search shown={shown} />
        {shown.entries.length === 0 ? (
          <Empty>No entry says that.</Empty>
        ) : (
          <AuditTable entries={shown.entries} />
        )}
        <Pager
          shown={shown.entries.length}
          total={shown.entries_total}
          cursor={shown.next_cursor}
        />
      </Panel>
      <Panel title="Take it with you" note="verified offline, without this server">
        <div class="inside stack">
          <Command command={shown.export_command} />
          <Command command={shown.verify_command} />
          {shown.policy ? (
            <details>
              <summary>The policy that verifiers trust</summary>
              <pre>{shown.policy}</pre>
            </details>
          ) : null}
        </div>
      </Panel>
      <AllMissing missing={shown.missing} told={["gaps", "checkpoint", "witnesses"]} />
    </PageFrame>
  );
}

function Search({ shown }: { shown: Audit }) {
  const fields = [
    ["ticket", "Ticket", shown.ticket],
    ["owner", "Owner", shown.owner],
    ["digest", "Digest", shown.digest],
  ] as const;
  return (
    <form
      class="row inside not-printed"
      role="search"
      aria-label="Entries"
      onSubmit={(event) => {
        event.preventDefault();
        const query = new URLSearchParams();
        for (const [name, value] of new FormData(event.currentTarget)) {
          const text = String(value).trim();
          if (text) query.set(name, text);
        }
        goTo(`/audit${query.size > 0 ? `?${query}` : ""}`);
      }}
    >
      {fields.map(([name, words, value]) => (
        <input
          key={name + (value ?? "")}
          type="text"
          name={name}
          aria-label={words}
          placeholder={words}
          defaultValue={value ?? ""}
        />
      ))}
      <button type="submit" class="button">
        Search
      </button>
      {fields.some(([, , value]) => value) ? <a href="/audit">Clear</a> : null}
    </form>
  );
}
