// Measures of a deployment and of what ran before it, laid over each other so that both went live at
// t = 0. SVG: a few lines of a few hundred points.

import type { Aligned } from "../api/documents.ts";
import { short } from "../draw/series.ts";

const WIDTH = 400;
const HEIGHT = 90;

type Values = readonly (number | null)[];

const KINDS: readonly (readonly [string, string, (of: Aligned) => Values])[] = [
  ["Error rate", "%", (of) => of.error_share.map((value) => (value === null ? null : value * 100))],
  ["Latency p95", "ms", (of) => of.latency_p95_ms],
  ["Requests", "/s", (of) => of.requests_per_second],
];

export function AlignedChart({ aligned }: { aligned: Aligned[] }) {
  const all = aligned.flatMap((each) => each.seconds);
  const [from, to] = [Math.min(0, ...all), Math.max(60, ...all)];
  return (
    <div class="inside stack">
      <p class="row calm small">
        {aligned.map((each, i) => (
          <span key={each.id} class="break">
            <svg class="legend" viewBox="0 0 24 8" aria-hidden="true">
              <line class={`aligned-${i}`} x1="0" x2="24" y1="4" y2="4" />
            </svg>{" "}
            {i === 0 ? "this" : "before"}: <span class="mono">{each.version}</span>
          </span>
        ))}
      </p>
      <div class="grid-3">
        {KINDS.map(([name, unit, values]) => {
          const most = Math.max(
            1e-9,
            ...aligned.flatMap((each) => values(each).map((value) => value ?? 0)),
          );
          const last = aligned
            .map(
              (each) =>
                `${each.version} ${short(values(each).findLast((value) => value !== null) ?? 0)} ${unit}`,
            )
            .join(", ");
          return (
            <figure key={name}>
              <figcaption class="small">
                <strong>{name}</strong>{" "}
                <span class="calm">
                  up to {short(most)} {unit}
                </span>
              </figcaption>
              <svg
                class="aligned"
                viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
                preserveAspectRatio="none"
                role="img"
                aria-label={`${name}, last: ${last}`}
              >
                <line
                  class="timeline-grid"
                  x1={(-from / (to - from)) * WIDTH}
                  x2={(-from / (to - from)) * WIDTH}
                  y1="0"
                  y2={HEIGHT}
                />
                {aligned.map((each, i) => (
                  <path
                    key={each.id}
                    class={`aligned-${i}`}
                    d={path(each.seconds, values(each), from, to, most)}
                  />
                ))}
              </svg>
            </figure>
          );
        })}
      </div>
    </div>
  );
}

/** A value that is not known breaks the line. */
function path(
  seconds: readonly number[],
  values: Values,
  from: number,
  to: number,
  most: number,
): string {
  let isDown = false;
  let drawn = "";
  seconds.forEach((second, i) => {
    const value = values[i] ?? null;
    if (value === null) {
      isDown = false;
      return;
    }
    const x = ((second - from) / (to - from)) * WIDTH;
    const y = HEIGHT - 3 - (value / most) * (HEIGHT - 6);
    drawn += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isDown = true;
  });
  return drawn;
}
