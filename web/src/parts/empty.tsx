// What stands where nothing is: always a sentence that says what is missing.

import type { Missing } from "../api/documents.ts";

export function Empty({ children }: { children: preact.ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** What the document says of a part that it does not have, else the given words. */
export function Nothing({
  missing,
  what,
  children,
}: {
  missing: Missing[];
  what: string;
  children: string;
}) {
  return <Empty>{missing.find((each) => each.what === what)?.sentence ?? children}</Empty>;
}

/** Everything that the document misses and no part has told. */
export function AllMissing({ missing, told = [] }: { missing: Missing[]; told?: string[] }) {
  const left = missing.filter((each) => !told.includes(each.what));
  if (left.length === 0) return null;
  return (
    <section class="panel" aria-label="Not known">
      <header>
        <h2>Not known</h2>
      </header>
      <ul class="inside">
        {left.map((each) => (
          <li key={each.what} class="calm break">
            {each.sentence}
          </li>
        ))}
      </ul>
    </section>
  );
}
