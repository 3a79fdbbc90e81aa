// The live stream: newest first, none missed and none twice. While somebody points at it, or has
// held it, nothing moves: what came since waits behind a button.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { at, formatAddress } from "../../address/address.ts";
import { ask, Problem } from "../../api/client.ts";
import type { Events, OnCall, StreamEvent } from "../../api/documents.ts";
import { onNews } from "../../live/live.ts";
import { added, type Rows, released } from "../../live/rows.ts";
import { rowWords, saidWords, toneState } from "../../live/said.ts";
import { Empty } from "../../parts/empty.tsx";
import { count } from "../../parts/words.ts";
import { address, isPaused, seeServerTime } from "../../state/app.ts";
import { keyOf, load } from "../../state/load.ts";
import { isNarrow } from "../../state/narrow.ts";
import { lookOf } from "../../state/shown.ts";
import { exact, placed } from "../../time/instant.ts";

const NONE: Rows<StreamEvent> = { shown: [], waiting: [] };
export const rows = signal<Rows<StreamEvent>>(NONE);
const isHeld = signal(false);
let newest = -1;
let key = "";

/** Take the rows of a document: added to what is there, or in its place when it is about something else. */
function take(document: OnCall): void {
  const now = keyOf(address.peek());
  const held = isHeld.peek() || isPaused.peek();
  if (now !== key) {
    key = now;
    newest = document.as_of - 1;
    rows.value = added(NONE, document.stream, false);
    return;
  }
  rows.value = added(rows.peek(), document.stream, held);
}

let isAsking = false;
let isAgain: number | null = null;

/** Ask for what lies behind the newest known row, and take it once. `index` is what the stream told. */
async function fetchNew(index: number): Promise<void> {
  if (isAsking) {
    isAgain = index;
    return;
  }
  isAsking = true;
  const asked = key;
  try {
    const query = new URLSearchParams({ behind: String(newest), after: String(index) });
    if (address.peek().filter) query.set("q", address.peek().filter);
    const answer = await ask<Events>(`/v1/events?${query}`);
    if (asked !== key) return;
    seeServerTime(answer.now_at);
    newest = Math.max(newest, answer.newest);
    if (answer.left_out) {
      key = "";
      await load();
    } else {
      rows.value = added(rows.peek(), answer.items, isHeld.peek() || isPaused.peek());
    }
  } catch (error) {
    // The next event or document brings what was missed: nothing is counted as seen.
    if (!(error instanceof Problem)) throw error;
  } finally {
    isAsking = false;
    const next = isAgain;
    isAgain = null;
    if (next !== null && next > newest) void fetchNew(next);
  }
}

export function Stream({ document, chosen }: { document: OnCall; chosen: string | null }) {
  useState(() => take(document));
  useEffect(() => take(document), [document]);
  useEffect(
    () =>
      onNews((index) => {
        const isFrozen = address.peek().page === "frozen";
        if (document.window.follows_now && !isFrozen && index > newest) void fetchNew(index);
      }),
    [document],
  );
  useEffect(() => {
    if (!isPaused.value && !isHeld.peek()) rows.value = released(rows.peek());
  }, [isPaused.value]);
  const hold = (held: boolean) => {
    isHeld.value = held;
    if (!held && !isPaused.peek()) rows.value = released(rows.peek());
  };
  const { shown, waiting } = rows.value;
  const windowMs = document.window.until_ms - document.window.since_ms;
  return (
    <aside class="stream" aria-label="Event stream">
      <header>
        <h2>Event stream</h2>
        {waiting.length > 0 ? (
          <button
            type="button"
            class="button waiting"
            onClick={() => {
              rows.value = released(rows.peek());
            }}
          >
            {count(waiting.length)} new
          </button>
        ) : null}
        <span class="calm" title="Shown, of all in the window">
          {amount(shown.length, Math.max(document.stream_total, shown.length))}
        </span>
      </header>
      {shown.length === 0 ? (
        <Empty>
          Nothing was said in this window. Choose a longer one, or emit a marker: deploymark mark
          planned --service NAME --environment ENV
        </Empty>
      ) : null}
      <ol
        onPointerEnter={() => hold(true)}
        onPointerLeave={() => hold(false)}
        onFocusIn={() => hold(true)}
        onFocusOut={() => hold(false)}
      >
        {shown.map((event) => (
          <Row
            key={event.index}
            event={event}
            isChosen={event.id !== null && event.id === chosen}
            windowMs={windowMs}
          />
        ))}
      </ol>
    </aside>
  );
}

const amount = (shown: number, total: number) =>
  shown < total
    ? `${count(shown)} of ${total >= 10_000 ? "10,000 or more" : count(total)} shown`
    : count(total);

function Row({
  event,
  isChosen,
  windowMs,
}: {
  event: StreamEvent;
  isChosen: boolean;
  windowMs: number;
}) {
  const href =
    event.id === null
      ? formatAddress({
          ...address.value,
          page: "entry",
          about: [String(event.index)],
          selected: null,
        })
      : isNarrow.value // the charts are far away there, so that choosing shows nothing
        ? formatAddress({ ...at(address.value, "deployment", event.id), selected: null })
        : formatAddress({ ...address.value, selected: event.id });
  const tone = toneState(event.type, event.event);
  const { title, about } = rowWords(event);
  return (
    <li data-index={event.index} data-state={tone ?? ""} class={isChosen ? "is-chosen" : ""}>
      <a href={href} aria-current={isChosen ? "true" : undefined} title={event.sentence}>
        <time dateTime={event.at} title={exact(event.at_ms)} class="calm">
          {placed(event.at_ms, windowMs)}
        </time>
        <span class="what">
          <span class={event.service === null ? "two-lines" : "clip"}>
            <strong>{title}</strong> <span class="mono">{event.version ?? ""}</span>
          </span>
          <span class={`calm small ${event.service === null ? "two-lines" : "clip"}`}>{about}</span>
        </span>
        <span class={`how small ${tone === null ? "calm" : `tone-${lookOf(tone).tone}`}`}>
          <span>
            {tone === null ? null : (
              <span class="state-glyph" aria-hidden="true">
                {lookOf(tone).glyph}{" "}
              </span>
            )}
            {saidWords(event.type, event.event)}
          </span>
        </span>
      </a>
    </li>
  );
}
