// What the page has chosen, for what zooms around it; forgotten when the page is left.

import { useEffect } from "preact/hooks";
import { parsed } from "../time/instant.ts";
import { chosenAt } from "./app.ts";

/** Zooming keeps this instant in place; null for none. */
export function useChosenAt(at: string | null): void {
  useEffect(() => {
    chosenAt.value = parsed(at);
    return () => {
      chosenAt.value = null;
    };
  }, [at]);
}
