// What stands around every page: navigation, filter, window, live state, theme; banners; help and
// palette. Knows of pages only their names.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { at, formatAddress, type PageName, TAKES } from "../address/address.ts";
import { change, go } from "../address/router.ts";
import { ask, Problem, useSession } from "../api/client.ts";
import type { ShownFilter } from "../api/documents.ts";
import { onAll } from "../keys/keyboard.ts";
import {
  address,
  againMs,
  boot,
  chosenAt,
  isPaused,
  keepTheme,
  live,
  loaded,
  problem,
  said,
  say,
  serverNow,
  session,
  span,
  theme,
} from "../state/app.ts";
import { keyOf, load } from "../state/load.ts";
import { written } from "../time/instant.ts";
import { centreOf, panned, RANGES, spanOf, zoomed } from "../time/window.ts";
import { copy } from "./copy.tsx";
import { freeze } from "./freeze.ts";
import { Help } from "./help.tsx";
import { Palette } from "./palette.tsx";
import { ProblemNote } from "./problem.tsx";

export const NAVIGATION: readonly (readonly [PageName, string])[] = [
  ["oncall", "On-call"],
  ["debug", "Debug"],
  ["exec", "Executive"],
  ["deployments", "Deployments"],
  ["services", "Services"],
  ["fleet", "Fleet"],
  ["audit", "Audit"],
];
const PARENTS: Partial<Record<PageName, PageName>> = {
  deployment: "deployments",
  compare: "deployments",
  service: "services",
  entry: "audit",
};
const LIVE_PAGES: readonly PageName[] = [
  "oncall",
  "deployment",
  "deployments",
  "debug",
  "services",
  "service",
  "fleet",
];

type Opened = "help" | "palette" | null;
export const opened = signal<Opened>(null);
const close = () => {
  opened.value = null;
};

export function Frame({ children }: { children: ComponentChildren }) {
  useLayoutEffect(startKeys, []);
  return (
    <>
      <a class="skip" href="#content">
        Skip to content
      </a>
      <header class="top">
        <a class="brand" href={formatAddress(at(address.value, "oncall"))}>
          deploymark
        </a>
        <Navigation />
        {TAKES[address.value.page].filter ? <FilterField /> : <span class="filter" />}
        {TAKES[address.value.page].window ? <WindowPicker /> : null}
        <LiveButton />
        <ThemeButton />
        <Account />
      </header>
      <Banners />
      {children}
      <div class="toast" role="status" aria-live="polite">
        {said.value}
      </div>
      {opened.value === "help" ? <Help onClose={close} /> : null}
      {opened.value === "palette" ? <Palette onClose={close} /> : null}
    </>
  );
}

function Navigation() {
  const { page } = address.value;
  const current = PARENTS[page] ?? page;
  const nav = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    // On a phone the line scrolls: where one is stands in the middle of it.
    const here = nav.current?.querySelector<HTMLElement>("[aria-current]");
    if (nav.current === null || !here) return;
    nav.current.scrollLeft =
      here.offsetLeft - nav.current.offsetLeft - (nav.current.clientWidth - here.clientWidth) / 2;
  }, [current]);
  return (
    <nav class="nav" aria-label="Pages" ref={nav}>
      {NAVIGATION.map(([name, words]) => (
        <a
          key={name}
          href={formatAddress({
            ...at(address.value, name),
            selected: name === "debug" ? address.value.selected : null,
          })}
          aria-current={name === current ? "page" : undefined}
        >
          {words}
        </a>
      ))}
    </nav>
  );
}

export const FILTER_ID = "filter";

function FilterField() {
  const field = useRef<HTMLInputElement>(null);
  const { filter } = address.value;
  useEffect(() => {
    if (field.current !== null) field.current.value = filter;
  }, [filter]);
  return (
    <form
      class="filter"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        change({ filter: field.current?.value.trim() ?? "", others: [] });
        field.current?.blur();
      }}
    >
      <input
        ref={field}
        id={FILTER_ID}
        type="search"
        aria-label="Filter"
        placeholder="Filter: svc:checkout st:failed owner:ana"
        autocomplete="off"
        spellcheck={false}
        defaultValue={filter}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.blur();
        }}
        onInput={(event) => {
          if (event.currentTarget.value === "") change({ filter: "", others: [] });
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

function WindowPicker() {
  const { window } = address.value;
  const { since, until } = span.value;
  return (
    <>
      <nav class="ranges" aria-label="Window" title={`${written(since, until)} UTC`}>
        {RANGES.map((range) => (
          <a
            key={range}
            href={formatAddress({ ...address.value, window: { range }, others: [] })}
            aria-current={"range" in window && window.range === range ? "true" : undefined}
          >
            {range}
          </a>
        ))}
      </nav>
      <span class={`calm nowrap window-text ${"range" in window ? "is-named" : ""}`}>
        <span class="window-ends">{written(since, until)}</span> UTC
      </span>
    </>
  );
}

const LIVE_WORDS = {
  live: "● Live",
  held: "‖ Held",
  connecting: "◌ Connecting",
  silent: "✕ No signal",
  off: "○ Not live",
};

function LiveButton() {
  if (!LIVE_PAGES.includes(address.value.page)) return null;
  const state = isPaused.value ? "held" : live.value;
  return (
    <button
      type="button"
      class="button live-state"
      data-live={state}
      aria-pressed={isPaused.value}
      title="Hold the live stream, or let it go on (l)"
      onClick={togglePause}
    >
      {LIVE_WORDS[state]}
    </button>
  );
}

function togglePause(): void {
  isPaused.value = !isPaused.value;
  say(isPaused.value ? "The live stream is held" : "The live stream goes on");
}

function ThemeButton() {
  return (
    <button
      type="button"
      class="button"
      aria-label="Light or dark"
      title="Light or dark (t)"
      onClick={toggleTheme}
    >
      <span aria-hidden="true">◑</span>
    </button>
  );
}

export function isDark(): boolean {
  return theme.value === "system"
    ? matchMedia("(prefers-color-scheme: dark)").matches
    : theme.value === "dark";
}

function toggleTheme(): void {
  keepTheme(isDark() ? "light" : "dark");
}

function Account() {
  if (session.value === null) return null;
  return (
    <details class="account">
      <summary class="button" title="Who you are; keys; sign out">
        <span aria-hidden="true">☰</span>
        <span class="hidden-text">Account and help</span>
      </summary>
      <div class="panel account-menu">
        <p class="break">{session.value.principal}</p>
        <p class="calm small">{session.value.roles.join(", ") || "no roles"}</p>
        <button
          type="button"
          class="button"
          onClick={() => {
            opened.value = "help";
          }}
        >
          Keys <kbd>?</kbd>
        </button>
        <button
          type="button"
          class="button"
          onClick={() => {
            opened.value = "palette";
          }}
        >
          Go to… <kbd>Ctrl K</kbd>
        </button>
        <button type="button" class="button" onClick={() => void freeze()}>
          Freeze this view <kbd>f</kbd>
        </button>
        <button type="button" class="button" onClick={() => void signOut()}>
          Sign out
        </button>
        <p class="calm small">deploymark {boot.version}</p>
      </div>
    </details>
  );
}

async function signOut(): Promise<void> {
  try {
    await ask("/v1/session", { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  useSession(null);
  loaded.value = null;
  session.value = null;
}

function Banners() {
  const shown = loaded.value?.document;
  const filter = (shown as { filter?: ShownFilter } | undefined)?.filter;
  return (
    <>
      {boot.settings.simulated || shown?.simulated ? (
        <aside class="banner warn printed" aria-label="Simulated">
          <strong>Simulated.</strong>
          <span>
            The fleet on this page is made up; in <code class="mono">deploymark demo --fleet</code>{" "}
            only the service shop is real.
          </span>
        </aside>
      ) : null}
      {live.value === "silent" &&
      session.value !== null &&
      LIVE_PAGES.includes(address.value.page) ? (
        <div class="banner bad" role="alert">
          <strong>Not live.</strong> The server has missed two heartbeats. What you see may be old;
          the page connects again by itself.
        </div>
      ) : null}
      {problem.value !== null && shown !== undefined ? (
        <aside class="banner bad" aria-label="Old data">
          <strong>Old data.</strong> The page could not be made anew.
          <ProblemNote problem={problem.value} againMs={againMs.value} />
          <button type="button" class="button" onClick={() => void load()}>
            Try again
          </button>
        </aside>
      ) : null}
      {filter?.not_understood ? (
        <aside class="banner warn" aria-label="Filter">
          {filter.not_understood}
        </aside>
      ) : null}
    </>
  );
}

function startKeys(): () => void {
  const page = (name: PageName) => () => go({ ...at(address.peek(), name), selected: null });
  // A key that is pressed again before the answer came goes on from where the last one led.
  const seen = () => {
    const to = address.peek();
    return loaded.peek()?.key === keyOf(to) ? span.peek() : spanOf(to.window, serverNow());
  };
  const move = (part: number) => () =>
    change({ window: panned(seen(), part, serverNow()), others: [] });
  const zoom = (factor: number) => () => {
    const centre = centreOf(seen(), chosenAt.peek(), "range" in address.peek().window);
    change({ window: zoomed(seen(), factor, centre, serverNow()), others: [] });
  };
  return onAll({
    "go-oncall": page("oncall"),
    "go-debug": () => go({ ...at(address.peek(), "debug") }),
    "go-exec": page("exec"),
    "go-deployments": page("deployments"),
    "go-services": page("services"),
    "go-fleet": page("fleet"),
    "go-audit": page("audit"),
    "pan-earlier": move(-0.5),
    "pan-later": move(0.5),
    "zoom-in": zoom(0.5),
    "zoom-out": zoom(2),
    "copy-link": () => void copy(permalink(), "Link"),
    filter: () => document.getElementById(FILTER_ID)?.focus(),
    palette: () => {
      opened.value = "palette";
    },
    help: () => {
      opened.value = "help";
    },
    freeze: () => void freeze(),
    pause: togglePause,
    theme: toggleTheme,
  });
}

/** A link that shows the same tomorrow: a window that ends now is written as two instants. */
export function permalink(): string {
  const { since, until } = span.peek();
  const fixed = TAKES[address.peek().page].window
    ? { ...address.peek(), window: { since, until } }
    : address.peek();
  return location.origin + formatAddress(fixed);
}
