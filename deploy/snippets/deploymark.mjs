// Deployment markers from JavaScript: the ids, and one call that sends a marker.
// Node 18 or later, Deno, Bun and browsers (in a secure context); no dependency.
//
//   import { mark } from "./deploymark.mjs";
//   await mark({ service: "checkout", environment: "prod", phase: "applied", version: "2.31.0" },
//              { url: "https://deploymark.example.com", token });
//
// It keeps no spool, signs nothing and numbers nothing. The ids are those of every other emitter
// (docs/formats/identity.md).

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const GIVEN_ID = /^[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?$/;
const SURROGATE = /\p{Surrogate}/u;

/** Returns the RFC 8785 canonical form of a JSON value; throws TypeError where there is none. */
export function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${value} has no JSON form`);
    return JSON.stringify(value); // RFC 8785 takes its numbers from ECMAScript
  }
  if (typeof value === "string") {
    if (SURROGATE.test(value)) throw new TypeError("a lone surrogate has no JSON form");
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object") {
    const names = Object.keys(value).sort(); // by UTF-16 code units, as RFC 8785 says
    return `{${names.map((name) => `${canonical(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  throw new TypeError(`a ${typeof value} has no JSON form`);
}

/** Returns the id of an identity array: `prefix` with its dash, and 26 characters. */
export async function encodeId(prefix, array) {
  const digest = await sha256(new TextEncoder().encode(canonical(array)));
  let number = 0n;
  for (const byte of digest.slice(0, 16)) number = (number << 8n) | BigInt(byte);
  let text = "";
  for (let shift = 125n; shift >= 0n; shift -= 5n) {
    text += ALPHABET[Number((number >> shift) & 31n)];
  }
  return prefix + text;
}

/** Returns what a marker is about, as its deployment id uses it. */
export function subjectOf(fields) {
  const kind = fields.kind ?? "deployment";
  const digest = fields.artifact?.digest ?? null;
  if (kind === "deployment") {
    if (digest !== null) return digest;
    if ((fields.commit_hash ?? null) !== null) return `commit:${fields.commit_hash}`;
    if ((fields.version ?? null) !== null) return `version:${fields.version}`;
    throw new TypeError("the marker names no artifact digest, commit_hash or version");
  }
  const content = fields.revision ?? fields.value ?? digest;
  if ((fields.key ?? null) === null || content === null) {
    throw new TypeError(`a ${kind} marker needs key and one of revision, value and a digest`);
  }
  return `${kind}:${fields.key}=${content}`;
}

/** Returns the `d-…` id; `action` is the CI run that all jobs and retries share, "" without one. */
export function deploymentId(service, environment, subject, action = "") {
  return encodeId("d-", ["deployment/1", service, environment, subject, action]);
}

/** Returns the `m-…` id of a flat marker under a deployment id. */
export function markerId(deployment, fields) {
  const kind = fields.kind ?? "deployment";
  const emitter = fields.emitter?.kind ?? null;
  const phase = fields.phase ?? null;
  return encodeId("m-", ["marker/1", deployment, kind, phase, emitter, discriminator(fields)]);
}

/** Returns what tells the markers of one deployment and phase apart. */
export function discriminator(fields) {
  const target = fields.target ?? {};
  const of = (object, ...names) => names.map((name) => object[name] ?? null);
  let parts;
  const endsInstance = fields.phase === "removed" && (target.instance_uid ?? null) !== null;
  if (fields.phase === "running" || endsInstance) {
    parts = of(target, "instance_uid");
  } else {
    parts = of(target, "cluster", "region", "namespace", "workload", "colour");
    if (fields.phase !== "cutover") parts.push(fields.rollout?.weight ?? null);
  }
  if ((fields.kind ?? "deployment") !== "deployment") {
    parts.push(...of(fields, "key", "revision", "direction"));
  }
  return parts;
}

/** Returns `{ deployment_id, marker_id }` of a flat marker; an id that it carries stands. */
export async function idsOfMarker(fields) {
  const given = fields.deployment_id ?? null;
  const { service, environment, action } = fields;
  const deployment =
    given === null
      ? await deploymentId(service ?? "", environment ?? "", subjectOf(fields), action ?? "")
      : checkGivenId(given);
  return { deployment_id: deployment, marker_id: await markerId(deployment, fields) };
}

/** Returns an id of the caller's own in lower case; throws TypeError when it is none. */
export function checkGivenId(text) {
  // Only ASCII: toLowerCase would turn the Kelvin sign into a harmless k.
  const lowered = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  if (!GIVEN_ID.test(lowered)) throw new TypeError(`${JSON.stringify(text)} is not an id`);
  return lowered;
}

/**
 * Sends one flat marker and returns `{ ok, status, deployment_id, marker_id, error, answer }`.
 *
 * It does not throw, so that it never breaks a deploy, unless `require` is true. It tries again
 * when the server is away or busy, with the same bytes, so that a marker is never made twice.
 */
export async function mark(fields, options = {}) {
  const environment = globalThis.process?.env ?? {};
  const {
    url = environment.DEPLOYMARK_URL || "http://127.0.0.1:8420",
    token = environment.DEPLOYMARK_TOKEN || "",
    tries = 3,
    timeoutMs = 5000,
    waitMs = 1000,
    require = false,
    fetch = globalThis.fetch,
  } = options;
  let result = { ok: false, status: 0, error: "" };
  try {
    const timestamp = fields.timestamp ?? new Date().toISOString();
    const ids = await idsOfMarker(fields);
    const body = JSON.stringify({ ...fields, timestamp, marker_id: ids.marker_id });
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const request = { method: "POST", headers, body };
    const target = `${url.replace(/\/+$/, "")}/v1/markers`;
    for (let attempt = 1; attempt <= tries; attempt += 1) {
      result = { ...(await post(fetch, target, request, timeoutMs)), ...ids };
      if (result.ok || !result.retryable || attempt === tries) break;
      await new Promise((resolve) => setTimeout(resolve, waitMs * attempt));
    }
  } catch (error) {
    result = { ...result, error: reasonOf(error) };
  }
  if (require && !result.ok) throw new Error(`the marker was not delivered: ${result.error}`);
  return result;
}

async function post(fetch, target, request, timeoutMs) {
  try {
    const response = await fetch(target, { ...request, signal: AbortSignal.timeout(timeoutMs) });
    const answer = await response.json().catch(() => null);
    const { ok, status } = response;
    const retryable = status === 408 || status === 429 || status >= 500;
    const told = [answer?.detail ?? answer?.title, answer?.hint].filter(Boolean).join(" ");
    const error = ok ? "" : [`HTTP ${status}`, told].filter(Boolean).join(": ");
    return { ok, status, retryable, error, answer };
  } catch (error) {
    return { ok: false, status: 0, retryable: true, error: reasonOf(error) };
  }
}

function reasonOf(error) {
  // "fetch failed" says nothing: why stands in its cause, which may be several errors in one.
  const cause = error?.cause?.message || error?.cause?.code;
  return [String(error?.message ?? error), cause].filter(Boolean).join(": ");
}

async function sha256(bytes) {
  // Node 18 has Web Crypto only in its own module; browsers only in a secure context.
  const subtle = globalThis.crypto?.subtle ?? (await import("node:crypto")).webcrypto.subtle;
  return new Uint8Array(await subtle.digest("SHA-256", bytes));
}
