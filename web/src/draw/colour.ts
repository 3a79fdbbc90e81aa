// Colours of the style's tokens as a canvas needs them: `light-dark()` resolved for the theme that
// is shown. Asks the browser, because only it knows which theme that is.

let probe: HTMLElement | null = null;
const found = new Map<string, string>();

export function colour(token: string): string {
  const known = found.get(token);
  if (known !== undefined) return known;
  if (probe === null) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(--${token})`;
  const resolved = getComputedStyle(probe).color;
  found.set(token, resolved);
  return resolved;
}

/** After the theme has changed. */
export function forgetColours(): void {
  found.clear();
}
