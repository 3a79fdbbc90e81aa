// What the HTML carries: session, document, settings. Read once; the element is data, not a script.

import type { Boot } from "./api/documents.ts";

const NOTHING: Boot = {
  session: null,
  page: null,
  document: null,
  problem: null,
  version: "",
  settings: { simulated: false, heartbeat_seconds: 10, can_act: false, series: false },
};

export function readBoot(): Boot {
  try {
    return { ...NOTHING, ...JSON.parse(document.getElementById("boot")?.textContent ?? "{}") };
  } catch {
    return NOTHING;
  }
}
