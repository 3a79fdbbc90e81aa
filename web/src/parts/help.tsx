// What the keys do, made of the table that the keyboard obeys, and the switch that turns them off.

import { BINDINGS, type Command } from "../keys/keymap.ts";
import { areKeysOn, keepKeys } from "../state/app.ts";
import { STATES } from "../state/shown.ts";
import { Dialog } from "./dialog.tsx";
import { StateMark } from "./state-mark.tsx";

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog label="Keys and states" onClose={onClose}>
      <div class="inside">
        <h2>Keys</h2>
        <label class="row">
          <input
            type="checkbox"
            checked={areKeysOn.value}
            onChange={(event) => keepKeys(event.currentTarget.checked)}
          />
          Single keys do something (the palette and Escape always do)
        </label>
        <ul class="keys">
          {(Object.keys(BINDINGS) as Command[]).map((command) => (
            <li key={command}>
              <kbd>{BINDINGS[command].shown}</kbd> <span>{BINDINGS[command].says}</span>
            </li>
          ))}
        </ul>
        <h2>States, the worst first</h2>
        <ul class="row">
          {STATES.map((state) => (
            <li key={state}>
              <StateMark state={state} />
            </li>
          ))}
        </ul>
        <form method="dialog">
          <button type="submit" class="button">
            Close
          </button>
        </form>
      </div>
    </Dialog>
  );
}
