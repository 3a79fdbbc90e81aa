// The filter's text: `svc:checkout env:prod st:failed` and free words. The server filters; here the
// text is only taken apart to add and remove terms, and to keep rows that arrive live. Pure.

export const TERMS = {
  svc: "service",
  env: "environment",
  st: "state",
  owner: "owner",
  cluster: "cluster",
  kind: "kind",
} as const;
export type Term = keyof typeof TERMS;

export interface Filter {
  terms: readonly (readonly [Term, string])[];
  words: readonly string[];
}

export function parseFilter(text: string): Filter {
  const terms: [Term, string][] = [];
  const words: string[] = [];
  for (const part of parts(text).map(unquoted)) {
    const [name = "", value = ""] = split(part);
    if (value && name in TERMS) terms.push([name as Term, value]);
    else words.push(part);
  }
  return { terms, words };
}

/** The text with this term set to this value, once. */
export function withTerm(text: string, term: Term, value: string): string {
  const kept = parts(text).filter((part) => !part.startsWith(`${term}:`));
  return [...kept, `${term}:${quoted(value)}`].join(" ");
}

/** The words as they were written; what stands in quotation marks, or is being, is one word. */
function parts(text: string): string[] {
  return text.match(/(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"?|'[^']*'?|\\$)+/g) ?? [];
}

function unquoted(part: string): string {
  return part.replace(/"((?:[^"\\]|\\.)*)"?|'([^']*)'?|\\(.)/g, (_, double, single, escaped) =>
    double !== undefined ? double.replace(/\\(["\\])/g, "$1") : (single ?? escaped),
  );
}

function quoted(value: string): string {
  return /[\s"'\\]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
}

/** What a row has to say to be chosen among others. */
export interface Row {
  service: string;
  environment?: string | null;
  state: string;
  owner?: string | null;
  places?: readonly string[];
  kind?: string | null;
  version?: string | null;
  id?: string | null;
}

/** Several values of one term mean any of them; different terms must all hold. */
export function takes(filter: Filter, row: Row): boolean {
  const wanted = new Map<Term, string[]>();
  for (const [term, value] of filter.terms) wanted.set(term, [...(wanted.get(term) ?? []), value]);
  for (const [term, values] of wanted) {
    const said =
      term === "cluster" ? (row.places ?? []) : [row[TERMS[term] as keyof Row] as string];
    if (!values.some((value) => said.includes(value))) return false;
  }
  return filter.words.every((word) =>
    [row.service, row.version, row.id].some((text) => text?.startsWith(word)),
  );
}

/**
 * Whether words as the server understood them exclude this row. Clusters do not: a row may not name all
 * that it is in.
 */
export function excludes(
  understood: readonly { field: string; value: string }[],
  row: Row,
): boolean {
  const names = Object.keys(TERMS) as Term[];
  const terms = understood.flatMap(({ field, value }) =>
    names
      .filter((name) => TERMS[name] === field && name !== "cluster")
      .map((name): [Term, string] => [name, value]),
  );
  const words = understood.filter(({ field }) => field === "text").map(({ value }) => value);
  return !takes({ terms, words }, row);
}

function split(part: string): [string, string] {
  const colon = part.indexOf(":");
  return colon < 0 ? [part, ""] : [part.slice(0, colon), part.slice(colon + 1)];
}
