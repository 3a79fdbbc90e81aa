// One wide timeline of a deployment: a lane each for markers, phases, alerts and findings, logs and
// traces. Drawn as SVG, because one deployment has few of them; the list below says the same.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Debug } from "../api/documents.ts";
import { ticks } from "../time/axis.ts";
import { exact, parsed } from "../time/instant.ts";
import { sentence } from "./words.ts";

const WIDTH = 1200;
const LEFT = 12;
const LANE = 26;
const MOST = 400;

interface Thing {
  at: number;
  words: string;
  tone: string;
}

export function Timeline({ document: shown }: { document: Debug }) {
  const { since_ms, until_ms } = shown.window;
  const lanes = lanesOf(shown);
  const x = (at: number) =>
    LEFT + ((at - since_ms) / Math.max(1, until_ms - since_ms)) * (WIDTH - LEFT - 12);
  const height = lanes.length * LANE + 26;
  const scroll = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    // Where it is wider than the screen, the newest is seen first.
    if (scroll.current !== null) scroll.current.scrollLeft = scroll.current.scrollWidth;
  }, []);
  return (
    <div class="scroll timeline-place" tabIndex={0} ref={scroll} role="group" aria-label="Timeline">
      <ul class="timeline-names" aria-hidden="true">
        {lanes.map(([name]) => (
          <li key={name}>{name}</li>
        ))}
      </ul>
      <svg
        class="timeline"
        viewBox={`0 0 ${WIDTH} ${height}`}
        role="img"
        aria-label={lanes.map(([name, things]) => `${things.length} ${name}`).join(", ")}
      >
        {ticks(since_ms, until_ms, WIDTH - LEFT, 90).map((tick) => (
          <g key={tick.at}>
            <line class="timeline-grid" x1={x(tick.at)} x2={x(tick.at)} y1="0" y2={height - 20} />
            <text class="timeline-text" x={x(tick.at)} y={height - 6} text-anchor="middle">
              {tick.label}
            </text>
          </g>
        ))}
        {lanes.map(([name, things], i) => (
          <g key={name}>
            <line
              class="timeline-grid"
              x1={LEFT}
              x2={WIDTH - 12}
              y1={i * LANE + 14}
              y2={i * LANE + 14}
            />
            {things
              .filter((thing) => thing.at >= since_ms && thing.at <= until_ms)
              .slice(0, MOST)
              .map((thing, k) => (
                <circle
                  key={k}
                  class={`dot-${thing.tone}`}
                  cx={x(thing.at)}
                  cy={i * LANE + 14}
                  r="5"
                >
                  <title>{`${thing.words} ${exact(thing.at)}`}</title>
                </circle>
              ))}
          </g>
        ))}
      </svg>
    </div>
  );
}

function lanesOf(shown: Debug): [string, Thing[]][] {
  const of = (type: (type: string) => boolean): Thing[] =>
    shown.events
      .filter((event) => type(event.type))
      .map((event) => ({
        at: event.at_ms,
        words: `${sentence(event.type)} ${sentence(event.event)} ${event.sentence}`,
        tone: ["failed", "fail", "open", "opened"].includes(event.event) ? "bad" : "move",
      }));
  const phases = shown.phases.map((phase) => ({
    at: parsed(phase.at) ?? 0,
    words: sentence(phase.phase),
    tone: phase.phase === "failed" ? "bad" : "good",
  }));
  const logs = shown.logs.map((line) => ({
    at: parsed(line.at) ?? 0,
    words: line.text,
    tone: line.severity >= 17 ? "bad" : "calm",
  }));
  const traces = shown.traces.map((trace) => ({
    at: parsed(trace.at) ?? 0,
    words: `${trace.name} ${trace.duration_ms.toFixed(0)} ms`,
    tone: trace.failing ? "bad" : "warn",
  }));
  return [
    ["markers", of((type) => type === "marker")],
    ["phases", phases],
    ["verdicts", of((type) => ["verdict", "decision"].includes(type))],
    ["alerts", of((type) => ["finding", "incident"].includes(type))],
    ["logs", logs],
    ["traces", traces],
  ];
}
