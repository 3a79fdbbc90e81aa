// A receipt (c2sp.org/tlog-proof), verified step by step: the leaf it carries, the way to the root,
// the checkpoint, its signature. What each step found is told; nothing is taken on trust but the key.

import {
  type Checkpoint,
  fromBase64,
  parseCheckpoint,
  parseNote,
  toBase64,
  verifyNote,
} from "./note.ts";
import { areEqual, leafHash, ProofFailed, rootFrom } from "./tree.ts";

export interface Receipt {
  index: bigint;
  leaf: Uint8Array | null;
  proof: Uint8Array[];
  note: string;
  checkpoint: Checkpoint;
}

const HEADER = "c2sp.org/tlog-proof@v1";
const MOST_HASHES = 63;

export function parseReceipt(text: string): Receipt {
  const end = text.indexOf("\n\n");
  const [header, ...lines] = text.slice(0, Math.max(0, end)).split("\n");
  if (end < 0 || header !== HEADER) throw new ProofFailed(`A receipt begins with ${HEADER}.`);
  const extra = lines[0]?.startsWith("extra ") ? lines.shift() : undefined;
  const [, index] = /^index (0|[1-9]\d*)$/.exec(lines.shift() ?? "") ?? [];
  if (index === undefined)
    throw new ProofFailed("The receipt does not say which entry it is about.");
  if (lines.length > MOST_HASHES) throw new ProofFailed("The receipt has too many hashes.");
  const note = text.slice(end + 2);
  const leaf = extra === undefined ? null : fromBase64(extra.slice("extra ".length));
  if (leaf?.length === 0) throw new ProofFailed("The leaf is empty.");
  const checkpoint = parseCheckpoint(parseNote(note).text);
  return { index: BigInt(index), leaf, proof: lines.map(fromBase64), note, checkpoint };
}

export interface Step {
  says: string;
  result: "holds" | "fails" | "not-checked";
  detail: string;
}

/**
 * Go through the steps. `leaf` is what the server says the entry's leaf is, `vkey` the log's key;
 * a step whose input is missing is told as not checked, never as held.
 */
export async function verifyReceipt(
  text: string,
  index: number,
  vkey: string | null,
): Promise<{ steps: Step[]; leaf: Uint8Array | null; checkpoint: Checkpoint | null }> {
  const steps: Step[] = [];
  const say = (says: string, result: Step["result"], detail: string) =>
    steps.push({ says, result, detail });
  let receipt: Receipt;
  try {
    receipt = parseReceipt(text);
  } catch (error) {
    say("The receipt can be read", "fails", reason(error));
    return { steps, leaf: null, checkpoint: null };
  }
  const { checkpoint, leaf } = receipt;
  const isAboutIt = receipt.index === BigInt(index);
  say("It is about this entry", isAboutIt ? "holds" : "fails", `index ${receipt.index}`);
  if (leaf === null) {
    say("It carries the entry's leaf", "fails", "there is no extra line");
    return { steps, leaf, checkpoint };
  }
  const hash = await leafHash(leaf);
  say(
    "The leaf was hashed here",
    "holds",
    `SHA-256(0x00 ‖ ${leaf.length} bytes) = ${toBase64(hash)}`,
  );
  try {
    const root = await rootFrom(receipt.index, checkpoint.size, hash, receipt.proof);
    const isSame = areEqual(root, checkpoint.root);
    say(
      `${receipt.proof.length} hashes lead to the root of ${checkpoint.size} entries`,
      isSame ? "holds" : "fails",
      isSame
        ? toBase64(root)
        : `${toBase64(root)}, but the checkpoint says ${toBase64(checkpoint.root)}`,
    );
  } catch (error) {
    say("The hashes lead to the root", "fails", reason(error));
  }
  await signed(receipt, vkey, say);
  return { steps, leaf, checkpoint };
}

async function signed(
  receipt: Receipt,
  vkey: string | null,
  say: (says: string, result: Step["result"], detail: string) => void,
): Promise<void> {
  const says = "The log signed this checkpoint";
  if (vkey === null) return void say(says, "not-checked", "the server named no key");
  try {
    const result = await verifyNote(parseNote(receipt.note), vkey);
    const name = vkey.split("+").slice(0, 2).join("+");
    if (result === "good") say(says, "holds", `Ed25519 by ${name}`);
    else if (result === "unsupported") say(says, "not-checked", "this browser has no Ed25519");
    else
      say(
        says,
        "fails",
        result === "bad" ? "the signature is wrong" : `there is no signature by ${name}`,
      );
  } catch (error) {
    say(says, "fails", reason(error));
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
