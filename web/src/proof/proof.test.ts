// The page's proofs against the vectors that the Python code is tested with: those of Certificate
// Transparency, of Go's checksum database, and of c2sp.org's examples.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { fromBase64, parseCheckpoint, parseKey, parseNote, toBase64, verifyNote } from "./note.ts";
import { parseReceipt, verifyReceipt } from "./receipt.ts";
import { leafHash, nodeHash, rootFrom, sha256 } from "./tree.ts";

const load = (name: string) =>
  JSON.parse(
    readFileSync(
      new URL(`../../../tests/conformance/vectors/${name}.json`, import.meta.url),
      "utf8",
    ),
  );
const bytes = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (raw: Uint8Array) =>
  [...raw].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const tree = load("rfc6962_tree");
const notes = load("notes");
const example = load("checkpoint");

test("leaves hash as in Certificate Transparency", async () => {
  for (const [i, leaf] of tree.leaves.entries()) {
    expect(hex(await leafHash(bytes(leaf)))).toBe(tree.nodes[0][i]);
  }
});

test("every inclusion proof leads to the root, and spoiled ones do not", async () => {
  for (const { index, size, proof } of tree.inclusion) {
    const hash = await leafHash(bytes(tree.leaves[index]));
    const path = proof.map(bytes);
    const root = (more: Uint8Array[]) => rootFrom(BigInt(index), BigInt(size), hash, more);
    expect(hex(await root(path))).toBe(tree.roots[size]);
    await expect(root([...path, hash])).rejects.toThrow("too long");
    if (path.length > 0) {
      await expect(root(path.slice(1))).rejects.toThrow("too short");
      const spoiled = path.map((each: Uint8Array, i: number) =>
        i === 0 ? each.map((byte) => byte ^ 1) : each,
      );
      expect(hex(await root(spoiled))).not.toBe(tree.roots[size]);
    }
  }
});

test("an index outside of the tree has no proof", async () => {
  await expect(rootFrom(8n, 8n, new Uint8Array(32), [])).rejects.toThrow("no entry");
  await expect(rootFrom(0n, 1n, new Uint8Array(31), [])).rejects.toThrow("32 bytes");
});

test("all proofs of all trees up to 40 entries, made here from the definition, hold", async () => {
  const hashes = await Promise.all(
    Array.from({ length: 40 }, (_, i) => leafHash(Uint8Array.of(i))),
  );
  const root = async (part: Uint8Array[]): Promise<Uint8Array> => {
    const [only] = part;
    if (only === undefined) return sha256();
    if (part.length === 1) return only;
    const k = 2 ** Math.floor(Math.log2(part.length - 1));
    return nodeHash(await root(part.slice(0, k)), await root(part.slice(k)));
  };
  const path = async (m: number, part: Uint8Array[]): Promise<Uint8Array[]> => {
    if (part.length <= 1) return [];
    const k = 2 ** Math.floor(Math.log2(part.length - 1));
    return m < k
      ? [...(await path(m, part.slice(0, k))), await root(part.slice(k))]
      : [...(await path(m - k, part.slice(k))), await root(part.slice(0, k))];
  };
  for (let size = 1; size <= 40; size += size < 20 ? 1 : 5) {
    const part = hashes.slice(0, size);
    const whole = hex(await root(part));
    for (let m = 0; m < size; m++) {
      const found = await rootFrom(
        BigInt(m),
        BigInt(size),
        part[m] ?? new Uint8Array(),
        await path(m, part),
      );
      expect(hex(found)).toBe(whole);
    }
  }
});

test("the note of Go's checksum database is signed, and not when a letter is changed", async () => {
  const { vkey, note } = notes.go_checksum_database;
  expect(await verifyNote(parseNote(note), vkey)).toBe("good");
  expect(await verifyNote(parseNote(note.replace("20852163", "20852164")), vkey)).toBe("bad");
  expect(await verifyNote(parseNote(note), notes.keys[0].vkey)).toBe("unsigned");
});

test("good keys are read and bad ones refused", async () => {
  for (const { vkey, type } of notes.keys) expect((await parseKey(vkey)).type).toBe(type);
  for (const name of ["two parts", "not base64", "key id that is no number"]) {
    await expect(parseKey(notes.bad_keys[name])).rejects.toThrow();
  }
});

test("a checkpoint is three lines", () => {
  expect(parseCheckpoint(example.text)).toMatchObject({
    origin: example.origin,
    size: BigInt(example.size),
  });
  for (const text of [
    "",
    "a\n1\n",
    `${example.text}x\n`,
    example.text.replace("20852163", "020852163"),
    "a\n1\nAAAA\n",
  ]) {
    expect(() => parseCheckpoint(text)).toThrow();
  }
});

const NOTE = `${example.text}\n${example.lines.join("")}`;
const RECEIPT = `c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 73894\n${example.proof_lines.join("\n")}\n\n${NOTE}`;

test("the receipt of the specification is read", () => {
  const receipt = parseReceipt(RECEIPT);
  expect(receipt.index).toBe(73894n);
  expect(new TextDecoder().decode(receipt.leaf ?? undefined)).toBe("extra information");
  expect(receipt.proof.map(toBase64)).toEqual(example.proof_lines);
});

test.each([
  ["another header", (text: string) => text.replace("@v1", "@v2")],
  ["no index", (text: string) => text.replace("index 73894\n", "")],
  ["an index with a zero before it", (text: string) => text.replace("73894", "073894")],
  ["a hash that is not base64", (text: string) => text.replace(example.proof_lines[0], "!")],
  ["no checkpoint", (text: string) => text.split("\n\n")[0] ?? ""],
])("a receipt with %s is refused", (_, spoil) => {
  expect(() => parseReceipt(spoil(RECEIPT))).toThrow();
});

async function small(leafText: string) {
  const leaf = new TextEncoder().encode(leafText);
  const other = await leafHash(Uint8Array.of(1));
  const root = await nodeHash(await leafHash(leaf), other);
  const key = (await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ])) as CryptoKeyPair;
  const raw = Uint8Array.of(
    1,
    ...new Uint8Array(await crypto.subtle.exportKey("raw", key.publicKey)),
  );
  const id = (await sha256(new TextEncoder().encode("log.example\n"), raw)).slice(0, 4);
  const vkey = `log.example+${hex(id)}+${toBase64(raw)}`;
  const text = `log.example\n2\n${toBase64(root)}\n`;
  const signature = new Uint8Array(
    await crypto.subtle.sign("Ed25519", key.privateKey, new TextEncoder().encode(text)),
  );
  const note = `${text}\n— log.example ${toBase64(Uint8Array.of(...id, ...signature))}\n`;
  return {
    vkey,
    receipt: `c2sp.org/tlog-proof@v1\nextra ${toBase64(leaf)}\nindex 0\n${toBase64(other)}\n\n${note}`,
  };
}

test("every step of a good receipt holds", async () => {
  const { receipt, vkey } = await small("entry");
  const { steps } = await verifyReceipt(receipt, 0, vkey);
  expect(steps.map((step) => step.result)).toEqual(["holds", "holds", "holds", "holds"]);
});

test("a changed leaf, another index and another key each fail their step", async () => {
  const { receipt, vkey } = await small("entry");
  const results = async (text: string, index: number, key: string | null) =>
    (await verifyReceipt(text, index, key)).steps.map((step) => step.result);
  const changed = receipt.replace(
    toBase64(new TextEncoder().encode("entry")),
    toBase64(new TextEncoder().encode("Entry")),
  );
  expect(await results(changed, 0, vkey)).toEqual(["holds", "holds", "fails", "holds"]);
  expect(await results(receipt, 1, vkey)).toEqual(["fails", "holds", "holds", "holds"]);
  expect(await results(receipt, 0, (await small("entry")).vkey)).toEqual([
    "holds",
    "holds",
    "holds",
    "fails",
  ]);
  expect(await results(receipt, 0, null)).toEqual(["holds", "holds", "holds", "not-checked"]);
  expect(await results("nonsense", 0, vkey)).toEqual(["fails"]);
});

test("base64 has one spelling", () => {
  expect(() => fromBase64("AB==")).toThrow();
  expect(toBase64(fromBase64("AA=="))).toBe("AA==");
});
