// The form for who is not signed in: a token becomes a session's cookie. The token is kept nowhere.

import "../style/sign-in.css";
import { useState } from "preact/hooks";
import { ask, Problem, useSession } from "../api/client.ts";
import type { BootProblem, BootSession } from "../api/documents.ts";
import { boot, problem, session } from "../state/app.ts";
import { load } from "../state/load.ts";
import { ProblemNote } from "./problem.tsx";

const UNKNOWN = {
  title: "This token is not known here",
  detail: "It may be misspelt, revoked or expired, or be a token of another server.",
  hint: "Copy the whole token, or ask an administrator of this server for a new one.",
};

export function SignIn() {
  const [refused, setRefused] = useState<BootProblem | null>(() =>
    // Only what the HTML of this address brought: a session that ended is no mistake of anybody.
    problem.peek() === boot.problem ? boot.problem : null,
  );
  const [isAsking, setIsAsking] = useState(false);
  async function signIn(event: SubmitEvent) {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const token = String(new FormData(form).get("token") ?? "").trim();
    setIsAsking(true);
    try {
      const opened = await ask<BootSession>("/v1/session", {
        method: "POST",
        body: { token },
        isSignIn: true,
      });
      useSession(opened.csrf_token ?? null);
      problem.value = null;
      session.value = opened;
      await load();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setRefused(error.told.status === 401 ? { ...error.told, ...UNKNOWN } : error.told);
    } finally {
      setIsAsking(false);
    }
  }
  return (
    <main id="content" class="panel sign-in">
      <h1>Sign in to deploymark</h1>
      <p class="calm">
        You need a token with the role <em>reader</em>, or <em>operator</em> to act.{" "}
        <code class="mono">deploymark up</code> prints one on its first start; an administrator
        makes more with <code class="mono">deploymark tokens new NAME --role reader</code>.
      </p>
      {refused === null ? null : <ProblemNote problem={refused} />}
      <form onSubmit={(event) => void signIn(event)}>
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="current-password"
          required
          autofocus
        />
        <button type="submit" class="button main" disabled={isAsking}>
          {isAsking ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
