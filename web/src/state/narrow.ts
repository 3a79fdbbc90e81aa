// Whether the screen is as narrow as a phone's, where a part is another one and not only smaller. The
// width is that of the style sheets.

import { signal } from "@preact/signals";

const phone = matchMedia("(max-width: 700px)");
export const isNarrow = signal(phone.matches);
phone.addEventListener("change", () => {
  isNarrow.value = phone.matches;
});
