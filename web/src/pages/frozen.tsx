// A page as it was when somebody kept it: its document, drawn again, under a line that says so.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Frozen } from "../api/documents.ts";
import { PageFrame } from "../parts/page.tsx";
import { When } from "../parts/when.tsx";

type Shown = ComponentType<{ document: never }>;

const KEPT: Record<string, () => Promise<{ default: unknown }>> = {
  oncall: () => import("./oncall.tsx"),
  debug: () => import("./debug.tsx"),
  exec: () => import("./exec.tsx"),
  deployments: () => import("./deployments.tsx"),
  deployment: () => import("./deployment.tsx"),
  compare: () => import("./compare.tsx"),
  services: () => import("./services.tsx"),
  service: () => import("./service.tsx"),
  fleet: () => import("./fleet.tsx"),
  audit: () => import("./audit.tsx"),
  entry: () => import("./entry.tsx"),
};

export default function FrozenPage({ document: shown }: { document: Frozen }) {
  const [Page, setPage] = useState<Shown | null>(null);
  useEffect(() => {
    void KEPT[shown.page]?.().then((chunk) => setPage(() => chunk.default as Shown));
  }, [shown.page]);
  return (
    <>
      <aside class="banner warn" aria-label="Frozen view">
        <strong>Frozen.</strong>
        <span class="break">
          As {shown.frozen_by} saw it on <When at={shown.frozen_at} /> UTC. Kept under{" "}
          <span class="mono">{shown.digest}</span>. <a href={shown.address}>See it as it is now</a>
        </span>
      </aside>
      {Page === null ? (
        <PageFrame title="Frozen view">{""}</PageFrame>
      ) : (
        <Page document={shown.document as never} />
      )}
    </>
  );
}
