// Listens to the keyboard and calls what a page or the frame has set for a command. Which key means
// what is keymap.ts.

import { areKeysOn } from "../state/app.ts";
import { type Command, Keymap } from "./keymap.ts";

type Handler = () => void;

const handlers = new Map<Command, Handler[]>();
const keymap = new Keymap();

/** Set what a command does, until the returned function is called. The last one set counts. */
export function on(command: Command, handler: Handler): () => void {
  handlers.set(command, [...(handlers.get(command) ?? []), handler]);
  return () => {
    handlers.set(
      command,
      (handlers.get(command) ?? []).filter((each) => each !== handler),
    );
  };
}

export function onAll(set: Partial<Record<Command, Handler>>): () => void {
  const ends = Object.entries(set).map(([command, handler]) => on(command as Command, handler));
  return () => {
    for (const end of ends) end();
  };
}

export function run(command: Command): boolean {
  const handler = handlers.get(command)?.at(-1);
  handler?.();
  return handler !== undefined;
}

export function startKeyboard(): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const command = keymap.press(
      {
        key: event.key,
        ctrl: event.ctrlKey,
        meta: event.metaKey,
        alt: event.altKey,
        at: event.timeStamp,
        isTaken: isTaken(event),
      },
      areKeysOn.peek(),
    );
    // An open dialog closes by itself, and takes every other key.
    if (command === null || (document.querySelector("dialog[open]") && command !== "palette"))
      return;
    if (run(command)) event.preventDefault();
  });
}

/** Fields take every key; buttons and links take Enter. */
function isTaken(event: KeyboardEvent): boolean {
  const target = event.target instanceof HTMLElement ? event.target : null;
  if (target === null) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "button"].includes(target.type);
  return event.key === "Enter" && target.matches("a[href], button, summary");
}
