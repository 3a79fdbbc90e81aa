// One entry of the log: what it says, what its hash is made of, and the proof that it stands there,
// verified in this browser.

import "../style/deployment.css";
import type { AuditEntryPage } from "../api/documents.ts";
import { Command } from "../parts/copy.tsx";
import { AllMissing, Nothing } from "../parts/empty.tsx";
import { Assurance } from "../parts/entries.tsx";
import { To, ToDeployment } from "../parts/link.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Facts, Panel } from "../parts/panel.tsx";
import { ReceiptCheck } from "../parts/receipt-check.tsx";
import { When } from "../parts/when.tsx";
import { sentence } from "../parts/words.ts";

export default function EntryPage({ document: shown }: { document: AuditEntryPage }) {
  const { entry, leaf } = shown;
  return (
    <PageFrame
      title={`Entry ${entry.index}`}
      note={
        <span>
          {sentence(entry.type)} · <Assurance assurance={entry.assurance} />
        </span>
      }
    >
      <nav class="row not-printed" aria-label="Neighbours">
        {shown.previous === null ? null : (
          <To page="entry" about={[String(shown.previous)]} class="button">
            ← {shown.previous}
          </To>
        )}
        {shown.next === null ? null : (
          <To page="entry" about={[String(shown.next)]} class="button">
            {shown.next} →
          </To>
        )}
        <To page="audit" class="button">
          All entries
        </To>
      </nav>
      <section class="panel" aria-label="Entry">
        <div class="inside stack">
          <p class="break">{entry.sentence}</p>
          <Facts
            facts={[
              ["Received", <When at={entry.received_at} />],
              ["Service", entry.service],
              ["Environment", entry.environment],
              ["Deployment", entry.id === null ? null : <ToDeployment id={entry.id} />],
              ["By", entry.principal],
              ["Key", <span class="mono">{entry.key_id}</span>],
            ]}
          />
        </div>
      </section>
      <Panel title="Proof" note="computed in this browser, not by the server">
        <div class="inside stack">
          {shown.receipt === null ? (
            <Nothing missing={shown.missing} what="receipt">
              No published checkpoint covers this entry yet; that takes a second.
            </Nothing>
          ) : (
            <ReceiptCheck index={entry.index} receipt={shown.receipt} />
          )}
          <Command command={shown.verify_command} />
        </div>
      </Panel>
      <Panel title="What it says">
        <div class="inside">
          <pre>{JSON.stringify(shown.content, null, 2)}</pre>
        </div>
      </Panel>
      <Panel title="What its hash is made of" note="SHA-256 of one zero byte and the leaf">
        <div class="inside stack">
          <Facts
            facts={[
              ["Leaf hash", <span class="mono">{leaf.hash}</span>],
              ["Payload type", <span class="mono">{leaf.payload_type}</span>],
              ["Signed by keys", <span class="mono">{leaf.key_ids.join(", ") || "none"}</span>],
            ]}
          />
          <details>
            <summary>The leaf, base64</summary>
            <pre>{leaf.leaf}</pre>
          </details>
          <details>
            <summary>What was handed in, base64</summary>
            <pre>{leaf.payload}</pre>
          </details>
          {shown.receipt === null ? null : (
            <details>
              <summary>The receipt</summary>
              <pre>{shown.receipt}</pre>
            </details>
          )}
        </div>
      </Panel>
      <AllMissing missing={shown.missing} told={["receipt"]} />
    </PageFrame>
  );
}
