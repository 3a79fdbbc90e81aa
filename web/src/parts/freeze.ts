// Keeps the present page as it is: the server makes its document once more and keeps that, under an
// address that never changes. What was drawn here is never sent.

import { goTo } from "../address/router.ts";
import { ask, Problem } from "../api/client.ts";
import type { KeptView } from "../api/documents.ts";
import { address, say } from "../state/app.ts";
import { documentAddress } from "../state/load.ts";

/** Freeze the view, and go to where it is kept: that address is the one to hand on. */
export async function freeze(): Promise<void> {
  const here = address.peek();
  if (here.page === "frozen") return say("This view is frozen already.");
  if (here.page === "unknown") return say("There is nothing to freeze here.");
  try {
    const body = { address: documentAddress(here) };
    const kept = await ask<KeptView>("/v1/views", { method: "POST", body });
    if (address.peek() !== here) return say(`The view is kept: ${kept.address}`);
    goTo(kept.address);
    say("This view is frozen: its address shows the same from now on");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say(`The view was not kept. ${error.told.detail} ${error.told.hint}`);
  }
}
