// Every deployment of a window, the one that opened last first; filtered and cut by the server.

import type { Deployments } from "../api/documents.ts";
import { ChipTable } from "../parts/chip-table.tsx";
import { Counts } from "../parts/counts.tsx";
import { AllMissing } from "../parts/empty.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { count } from "../parts/words.ts";

export default function DeploymentsPage({ document: shown }: { document: Deployments }) {
  return (
    <PageFrame
      title="Deployments"
      note={`${count(shown.total)} in this window and filter, of ${count(shown.store_total)}`}
    >
      <Counts counts={shown.counts} />
      <section class="panel" aria-label="Deployments">
        <ChipTable
          chips={shown.items}
          hasKeys
          empty="Nothing was deployed in this window that the filter lets through. Choose a longer window, or clear the filter."
        />
        <Pager shown={shown.items.length} total={shown.total} cursor={shown.next_cursor} />
      </section>
      <AllMissing missing={shown.missing} />
    </PageFrame>
  );
}
