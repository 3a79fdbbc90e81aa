// Fetches an entry's receipt and verifies it here: proof/receipt.ts does, this only shows its steps.
// The key is the one that the log's policy names; whoever trusts neither runs the command.

import { useEffect, useState } from "preact/hooks";
import { askText, Problem } from "../api/client.ts";
import { type Step, verifyReceipt } from "../proof/receipt.ts";

const MARKS: Record<Step["result"], [string, string, string]> = {
  holds: ["✓", "good", "holds"],
  fails: ["✕", "bad", "fails"],
  "not-checked": ["?", "warn", "not checked"],
};

export function ReceiptCheck({ index, receipt }: { index: number; receipt?: string | null }) {
  const [steps, setSteps] = useState<Step[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    let isGone = false;
    setSteps(null);
    setProblem(null);
    check(index, receipt ?? null)
      .then((found) => isGone || setSteps(found))
      .catch((error: unknown) => {
        if (isGone) return;
        setProblem(
          error instanceof Problem ? `${error.told.detail} ${error.told.hint}` : String(error),
        );
      });
    return () => {
      isGone = true;
    };
  }, [index, receipt]);
  if (problem !== null)
    return (
      <p class="calm break">
        The receipt of entry {index} could not be verified here: {problem}
      </p>
    );
  if (steps === null)
    return <p class="calm">Verifying the receipt of entry {index} in this browser…</p>;
  return (
    <ol class="steps" data-proof={worst(steps)}>
      {steps.map((step, i) => {
        const [glyph, tone, word] = MARKS[step.result];
        return (
          <li key={i}>
            <span class={`state tone-${tone}`}>
              <span class="state-glyph" aria-hidden="true">
                {glyph}
              </span>{" "}
              {word}
            </span>
            <span>
              {i + 1}. {step.says}
              <span class="calm small mono break"> {step.detail}</span>
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function worst(steps: Step[]): Step["result"] {
  if (steps.some((step) => step.result === "fails")) return "fails";
  return steps.some((step) => step.result === "not-checked") ? "not-checked" : "holds";
}

async function check(index: number, known: string | null): Promise<Step[]> {
  if (!globalThis.crypto?.subtle) {
    const detail = "browsers hash and verify on https and on this machine only";
    return [{ says: "Nothing was verified here", result: "not-checked", detail }];
  }
  const [receipt, policy] = await Promise.all([
    known ?? askText(`/v1/markers/${index}/receipt`),
    askText("/log/policy").catch(() => ""),
  ]);
  return (await verifyReceipt(receipt, index, logKey(policy))).steps;
}

/** The log's own Ed25519 key (type 1) in a tlog-policy. */
export function logKey(policy: string): string | null {
  for (const line of policy.split("\n")) {
    const [word, key] = line.trim().split(/\s+/);
    if (word === "log" && key !== undefined && atobType(key) === 1) return key;
  }
  return null;
}

function atobType(vkey: string): number | null {
  try {
    return atob(vkey.split("+").slice(2).join("+")).charCodeAt(0);
  } catch {
    return null;
  }
}
