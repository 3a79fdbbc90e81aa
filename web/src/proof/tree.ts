// The log's tree, verified here: RFC 6962 hashes and the inclusion proof of RFC 9162 section 2.1.3.2.
// Written from these texts, not from the server's code, so that one mistake is not made twice.
// Hashes by WebCrypto, which browsers offer on https and on this machine only.

export class ProofFailed extends Error {}

export async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export const leafHash = (leaf: Uint8Array) => sha256(LEAF, leaf);
export const nodeHash = (left: Uint8Array, right: Uint8Array) => sha256(NODE, left, right);

/**
 * The root that a proof leads to. Numbers are BigInt because a log may have more entries than a
 * JavaScript number can count exactly.
 */
export async function rootFrom(
  index: bigint,
  size: bigint,
  hash: Uint8Array,
  proof: readonly Uint8Array[],
): Promise<Uint8Array> {
  if (index < 0n || index >= size)
    throw new ProofFailed(`There is no entry ${index} in a tree of ${size}.`);
  if ([hash, ...proof].some((each) => each.length !== 32))
    throw new ProofFailed("A hash has not 32 bytes.");
  let fn = index;
  let sn = size - 1n;
  let root = hash;
  for (const sibling of proof) {
    if (sn === 0n) throw new ProofFailed("The proof is too long.");
    if (fn % 2n === 1n || fn === sn) {
      root = await nodeHash(sibling, root);
      while (fn % 2n === 0n && fn !== 0n) {
        fn /= 2n;
        sn /= 2n;
      }
    } else {
      root = await nodeHash(root, sibling);
    }
    fn /= 2n;
    sn /= 2n;
  }
  if (sn !== 0n) throw new ProofFailed("The proof is too short.");
  return root;
}

export function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}
