// What one may ask of a rollout: buttons, and the dialog in which an action is confirmed by typing
// the service's name. The server decides who may do what and why not; here it is only asked.

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { ask, Problem } from "../api/client.ts";
import type { BootProblem, Offer, Selected } from "../api/documents.ts";
import { address, loaded, say } from "../state/app.ts";
import { load } from "../state/load.ts";
import { Dialog } from "./dialog.tsx";
import { ProblemNote } from "./problem.tsx";

const WORDS: Record<string, string> = {
  roll_back: "Roll back",
  promote: "Promote",
  pause: "Pause",
  resume: "Resume",
  approve: "Approve",
};

interface Asking {
  selected: Selected;
  offer: Offer;
}

/** The code of a refusal because more is known than the person had seen. */
const STALE = "stale_action";

const asking = signal<Asking | null>(null);

export function offerOf(selected: Selected, action: string): Offer | undefined {
  return selected.actions.find((offer) => offer.action === action);
}

/** Open the dialog, or say why it may not be asked for. */
export function askFor(selected: Selected, action: string): void {
  const offer = offerOf(selected, action);
  if (address.peek().page === "frozen") say("This is a frozen view: see it as it is now to act.");
  else if (offer === undefined) say(`${WORDS[action] ?? action} cannot be asked for here.`);
  else if (!offer.allowed) say(offer.why_not ?? "That may not be asked for now.");
  else asking.value = { selected, offer };
}

export function ActionButton({
  selected,
  offer,
  shortcut,
}: {
  selected: Selected;
  offer: Offer;
  shortcut?: string;
}) {
  const words = WORDS[offer.action] ?? offer.action;
  // A button that may not be pressed stays reachable, so that its reason can be read.
  return (
    <button
      type="button"
      class={`button ${offer.action === "roll_back" ? "danger" : ""}`}
      aria-disabled={!offer.allowed || address.value.page === "frozen"}
      data-action={offer.action}
      title={offer.allowed ? undefined : (offer.why_not ?? undefined)}
      onClick={() => askFor(selected, offer.action)}
    >
      {words}…{shortcut === undefined ? null : <kbd>{shortcut}</kbd>}
    </button>
  );
}

export function ActionDialog() {
  const current = asking.value;
  if (current === null) return null;
  return <Confirm key={current.selected.chip.id + current.offer.action} {...current} />;
}

function Confirm({ selected, offer }: Asking) {
  const [typed, setTyped] = useState("");
  const [refused, setRefused] = useState<BootProblem | null>(null);
  const [isAsking, setIsAsking] = useState(false);
  const { chip } = selected;
  const words = WORDS[offer.action] ?? offer.action;
  const isConfirmed = typed.trim() === selected.confirm;
  const close = () => {
    asking.value = null;
  };
  async function submit(event: SubmitEvent) {
    event.preventDefault();
    if (!isConfirmed || isAsking) return;
    const reason = String(new FormData(event.currentTarget as HTMLFormElement).get("reason") ?? "");
    setIsAsking(true);
    try {
      const answer = await ask<{ decision_index?: number }>("/v1/actions", {
        method: "POST",
        body: {
          action: offer.action,
          deployment_id: chip.id,
          reason,
          idempotency_key: randomKey(),
          ...(offer.expected_index === null ? {} : { expected_index: offer.expected_index }),
        },
      });
      close();
      say(
        `${words} of ${chip.service} asked for${answer.decision_index === undefined ? "" : `, entry ${answer.decision_index}`}`,
      );
      await load();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setRefused(error.told);
      if (error.told.code === STALE) await lookAgain(selected, offer);
    } finally {
      setIsAsking(false);
    }
  }
  return (
    <Dialog label={`${words} ${chip.service}`} onClose={close}>
      <form onSubmit={(event) => void submit(event)}>
        <h2>
          {words} {chip.service} <span class="mono">{chip.version}</span> in {chip.environment}?
        </h2>
        {offer.action === "roll_back" && selected.previous !== null ? (
          <p class="break">
            It returns to <span class="mono">{selected.previous}</span>.
          </p>
        ) : null}
        <p class="calm">
          The request is written to the log under your name; guards still decide whether it is done.
        </p>
        {refused === null ? null : <ProblemNote problem={refused} />}
        <label>
          <span>
            Type <strong class="mono">{selected.confirm}</strong> to confirm
          </span>
          <input
            type="text"
            name="confirm"
            autofocus
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        <label>
          Reason (optional, for the log)
          <input type="text" name="reason" maxLength={2048} autocomplete="off" />
        </label>
        <div class="row">
          <button
            type="submit"
            class={`button ${offer.action === "roll_back" ? "danger" : "main"}`}
            disabled={!isConfirmed || isAsking}
          >
            {isAsking ? "Asking…" : words}
          </button>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Show what is new behind the dialog, and let the next try say that this was seen. */
async function lookAgain(selected: Selected, offer: Offer): Promise<void> {
  await load();
  const page = loaded.peek()?.document as { selected?: Selected | null } | undefined;
  const now = page?.selected;
  if (asking.peek() === null || now?.chip.id !== selected.chip.id) return;
  asking.value = { selected: now, offer: offerOf(now, offer.action) ?? offer };
}

/** Not from randomUUID, which plain http does not have. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
