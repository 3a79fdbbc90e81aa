// Starts the page: session, router, keyboard, the page that the address names, and what keeps it
// live. Pages come in chunks of their own, so that each is as small as what it shows.

import "./style/tokens.css";
import "./style/base.css";
import "./style/frame.css";
import { effect, signal } from "@preact/signals";
import { type ComponentType, render } from "preact";
import { formatAddress, type PageName } from "./address/address.ts";
import { startRouter } from "./address/router.ts";
import { useSession } from "./api/client.ts";
import { startKeyboard } from "./keys/keyboard.ts";
import { startLive } from "./live/live.ts";
import { ActionDialog } from "./parts/actions.tsx";
import { Frame, NAVIGATION } from "./parts/frame.tsx";
import { ProblemNote } from "./parts/problem.tsx";
import { SignIn } from "./parts/sign-in.tsx";
import { address, againMs, boot, loaded, problem, session, theme } from "./state/app.ts";
import { begin, forget, keyOf, load, loadNext } from "./state/load.ts";

type Shown = ComponentType<{ document: never }>;
type Chunk = { default: Shown };

const CHUNKS: Record<Exclude<PageName, "unknown">, () => Promise<unknown>> = {
  oncall: () => import("./pages/oncall.tsx"),
  debug: () => import("./pages/debug.tsx"),
  exec: () => import("./pages/exec.tsx"),
  deployments: () => import("./pages/deployments.tsx"),
  deployment: () => import("./pages/deployment.tsx"),
  compare: () => import("./pages/compare.tsx"),
  services: () => import("./pages/services.tsx"),
  service: () => import("./pages/service.tsx"),
  fleet: () => import("./pages/fleet.tsx"),
  audit: () => import("./pages/audit.tsx"),
  entry: () => import("./pages/entry.tsx"),
  frozen: () => import("./pages/frozen.tsx"),
};

const pages = signal<Partial<Record<PageName, Shown>>>({});

function Page() {
  const { page } = address.value;
  if (session.value === null) return <SignIn />;
  return (
    <Frame>
      <Content page={page} />
      <ActionDialog />
    </Frame>
  );
}

function Content({ page }: { page: PageName }) {
  const Known = pages.value[page] as ComponentType<{ document: unknown }> | undefined;
  const shown = loaded.value;
  if (page === "unknown") {
    return (
      <main id="content" class="page">
        <h1>There is no such page</h1>
        <p class="break calm">{address.value.about[0]}</p>
        {problem.value === null ? null : <ProblemNote problem={problem.value} />}
        <WayOn />
      </main>
    );
  }
  if (shown !== null && shown.page === page && Known !== undefined)
    return <Known document={shown.document} />;
  return (
    <main id="content" class="page" aria-busy={problem.value === null}>
      {problem.value === null ? <p class="calm">Loading…</p> : <Failed />}
    </main>
  );
}

function Failed() {
  if (problem.value === null) return null;
  const { status } = problem.value;
  const isRefused = status >= 400 && status < 500 && status !== 429;
  return (
    <>
      <h1>{status === 404 ? "Not found" : "That did not work"}</h1>
      <ProblemNote problem={problem.value} againMs={againMs.value} />
      {isRefused ? (
        <WayOn />
      ) : (
        <p>
          <button type="button" class="button" onClick={() => void load()}>
            Try again
          </button>
        </p>
      )}
    </>
  );
}

/** Where to go on from an address that shows nothing: the page itself where it is one, and on-call. */
function WayOn() {
  const { page } = address.value;
  // The server names what may be asked instead of what it does not understand.
  const instead = problem.value?.instead;
  const named = NAVIGATION.find(([name]) => name === page && name !== "oncall");
  return (
    <p>
      {instead ? (
        <>
          <a href={instead}>Show the page without it</a>, or go on to{" "}
        </>
      ) : (
        "Go on to "
      )}
      {named === undefined ? null : (
        <>
          <a href={`/${named[0]}`}>{named[1]}</a> or{" "}
        </>
      )}
      <a href="/oncall">On-call</a>.
    </p>
  );
}

effect(() => {
  const chosen = theme.value;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
});

effect(() => {
  const { page } = address.value;
  if (page === "unknown" || pages.peek()[page] !== undefined) return;
  void (CHUNKS[page]() as Promise<Chunk>).then((chunk) => {
    pages.value = { ...pages.peek(), [page]: chunk.default };
  });
});

useSession(boot.session?.csrf_token ?? null, () => {
  session.value = null;
});
begin();
let isFirst = true;
effect(() => {
  const to = address.value;
  const shown = loaded.peek();
  // The HTML has answered for the first address, and be it with what is wrong.
  const isAnswered = isFirst && boot.problem !== null;
  isFirst = false;
  if (isAnswered) return;
  if (shown !== null && shown.key === keyOf(to)) {
    forget();
    return;
  }
  if (shown !== null && shown.page !== to.page) loaded.value = null;
  problem.value = null;
  againMs.value = null;
  loadNext();
});
// How one came here (`link=expired`) is said once, and is no part of the address.
if (new URLSearchParams(location.search).has("link"))
  history.replaceState(history.state, "", formatAddress(address.peek()));
startRouter();
startKeyboard();
startLive();

const root = document.getElementById("page");
if (root !== null) {
  root.replaceChildren();
  render(<Page />, root);
}
