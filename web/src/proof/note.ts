// Signed checkpoints (c2sp.org/signed-note, tlog-checkpoint): read, and their Ed25519 signatures
// verified where the browser has Ed25519. ML-DSA and witnesses are left to `deploymark verify`.

import { areEqual, ProofFailed, sha256 } from "./tree.ts";

export interface Checkpoint {
  origin: string;
  size: bigint;
  root: Uint8Array;
}

export interface Note {
  /** With its last newline: what was signed. */
  text: string;
  signatures: { name: string; keyId: Uint8Array; signature: Uint8Array }[];
}

export function fromBase64(text: string): Uint8Array {
  let raw: string;
  try {
    raw = atob(text);
  } catch {
    throw new ProofFailed("That is not base64.");
  }
  const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
  if (toBase64(bytes) !== text) throw new ProofFailed("That is not base64 in its one spelling.");
  return bytes;
}

export function toBase64(bytes: Uint8Array): string {
  let raw = "";
  for (const byte of bytes) raw += String.fromCharCode(byte);
  return btoa(raw);
}

export function parseNote(note: string): Note {
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n")) throw new ProofFailed("That is not a signed note.");
  const signatures = note
    .slice(end + 2, -1)
    .split("\n")
    .map((line) => {
      const [, name, text] = /^— (\S+) (\S+)$/.exec(line) ?? [];
      if (name === undefined || text === undefined)
        throw new ProofFailed("A line is no signature.");
      const bytes = fromBase64(text);
      if (bytes.length < 5) throw new ProofFailed("A signature is too short.");
      return { name, keyId: bytes.slice(0, 4), signature: bytes.slice(4) };
    });
  return { text: note.slice(0, end + 1), signatures };
}

export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, end, ...more] = text.split("\n");
  if (!origin || root === undefined || end !== "" || more.length > 0) {
    throw new ProofFailed("That is not a checkpoint of three lines.");
  }
  if (size === undefined || !/^(0|[1-9]\d*)$/.test(size))
    throw new ProofFailed("The size is no number.");
  const hash = fromBase64(root);
  if (hash.length !== 32) throw new ProofFailed("The root has not 32 bytes.");
  return { origin, size: BigInt(size), root: hash };
}

const ED25519 = 1;

/** A verifier key, `<name>+<8 hex digits>+<base64 of type and key>`. */
export async function parseKey(
  vkey: string,
): Promise<{ name: string; keyId: Uint8Array; type: number; key: Uint8Array }> {
  const [, name, id, text] = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(vkey) ?? [];
  if (name === undefined || id === undefined || text === undefined) {
    throw new ProofFailed("That is not a verifier key.");
  }
  const bytes = fromBase64(text);
  const [type] = bytes;
  if (type === undefined) throw new ProofFailed("The verifier key is empty.");
  const keyId = Uint8Array.from(id.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const named = new TextEncoder().encode(`${name}\n`);
  if (type === ED25519 && !areEqual((await sha256(named, bytes)).slice(0, 4), keyId)) {
    throw new ProofFailed("The verifier key does not have the id that it names.");
  }
  return { name, keyId, type, key: bytes.slice(1) };
}

export type Signed = "good" | "bad" | "unsigned" | "unsupported";

/** Whether the key signed the note; `unsupported` where this browser has no Ed25519. */
export async function verifyNote(note: Note, vkey: string): Promise<Signed> {
  const { name, keyId, type, key } = await parseKey(vkey);
  const line = note.signatures.find((each) => each.name === name && areEqual(each.keyId, keyId));
  if (line === undefined) return "unsigned";
  if (type !== ED25519) return "unsupported";
  let imported: CryptoKey;
  try {
    imported = await crypto.subtle.importKey("raw", key.slice(), "Ed25519", false, ["verify"]);
  } catch {
    return "unsupported";
  }
  const text = new TextEncoder().encode(note.text);
  const isGood = await crypto.subtle.verify("Ed25519", imported, line.signature.slice(), text);
  return isGood ? "good" : "bad";
}
