// What holds whole services up, a line each: what, since when, what to do. Nothing where nothing does.

import type { Notice } from "../api/documents.ts";
import { serverNow } from "../state/app.ts";
import { parsed, spelled } from "../time/instant.ts";
import { When } from "./when.tsx";

const GLYPHS: Record<string, string> = { freeze: "❄\u{fe0e}", source: "▲" };

/** A view that was frozen by an older server has none. */
export function Notices({ notices = [] }: { notices: Notice[] | undefined }) {
  if (notices.length === 0) return null;
  return (
    <ul class="panel notices" aria-label="What holds things up">
      {notices.map((notice) => (
        <li key={notice.sentence} data-kind={notice.kind}>
          <span class="state-glyph tone-warn" aria-hidden="true">
            {GLYPHS[notice.kind] ?? "▲"}
          </span>
          <span class="break">
            <strong>{notice.sentence}</strong> <Since at={notice.since_at} />
            <span class="calm">{notice.hint}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}

function Since({ at }: { at: string | null }) {
  const instant = parsed(at);
  if (instant === null) return null;
  return (
    <>
      Since <When at={instant} />, for {spelled(Math.max(0, serverNow() - instant))}.{" "}
    </>
  );
}
