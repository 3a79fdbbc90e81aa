// One service: what is newest where, and its history.

import type { ServicePage } from "../api/documents.ts";
import { ChipTable } from "../parts/chip-table.tsx";
import { Counts } from "../parts/counts.tsx";
import { AllMissing } from "../parts/empty.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { Panel } from "../parts/panel.tsx";
import { written } from "../time/instant.ts";

export default function OneServicePage({ document: shown }: { document: ServicePage }) {
  return (
    <PageFrame
      title={shown.service}
      note={shown.owner === null ? "no owner" : `owned by ${shown.owner}`}
    >
      <Panel title="Newest in each environment">
        <ChipTable chips={shown.newest} empty="Nothing of it was ever deployed." />
      </Panel>
      <Counts counts={shown.counts} />
      <Panel title="History" note={`${written(shown.window.since_ms, shown.window.until_ms)} UTC`}>
        <ChipTable
          chips={shown.items}
          hasKeys
          empty="Nothing of it was deployed in this window. Choose a longer one."
        />
        <Pager shown={shown.items.length} total={shown.total} cursor={shown.next_cursor} />
      </Panel>
      <AllMissing missing={shown.missing} />
    </PageFrame>
  );
}
