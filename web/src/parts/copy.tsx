// A button that copies text, where the browser lets us; else the text stands there to be marked.

import { say } from "../state/app.ts";

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    say(`This browser does not let the page copy. ${what}: ${text}`);
  }
}

export function Command({ command, what = "Command" }: { command: string; what?: string }) {
  return (
    <div class="command">
      <pre>{command}</pre>
      <button type="button" class="button not-printed" onClick={() => void copy(command, what)}>
        Copy
      </button>
    </div>
  );
}
