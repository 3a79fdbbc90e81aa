// Where and how bad: a lane for each cluster, region or environment, and below them four charts on
// the same axis of time, with every deployment drawn over all of them.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { change, select } from "../../address/router.ts";
import type { Chip, Lane, Mark, Missing, Series, SeriesSet } from "../../api/documents.ts";
import { LEFT, makeChart, RIGHT } from "../../draw/chart.ts";
import { forgetColours } from "../../draw/colour.ts";
import { type DrawList, drawList, type Glyph, glyphAt, xOf } from "../../draw/marks.ts";
import { type Area, type MeanLine, paint } from "../../draw/paint.ts";
import {
  type Change,
  type Columns,
  inUnit,
  LOOK_MS,
  line,
  measured,
  short,
} from "../../draw/series.ts";
import { Empty } from "../../parts/empty.tsx";
import { isDark } from "../../parts/frame.tsx";
import { missingMarkers } from "../../parts/silent.ts";
import { StateMark } from "../../parts/state-mark.tsx";
import { count, signed } from "../../parts/words.ts";
import { theme } from "../../state/app.ts";
import { lookOf, rankOf } from "../../state/shown.ts";
import { clock, dayAndClock, parsed, spelled } from "../../time/instant.ts";
import type { Span } from "../../time/window.ts";
import { type Changes, definitionOf } from "./changes.ts";

const LANE_HEIGHT = 18;
const LANES_TOP = 9;
const MOST_LANES = 12;

interface Kind {
  title: string;
  token: string;
  isWorseUp: boolean;
}

const KINDS: Record<string, Kind> = {
  errors: { title: "Error rate", token: "series-errors", isWorseUp: true },
  latency_p95: { title: "Latency p95", token: "series-latency", isWorseUp: true },
  requests: { title: "Requests", token: "series-requests", isWorseUp: false },
  saturation: { title: "Saturation", token: "series-saturation", isWorseUp: true },
};
const UNITS: Record<string, string> = { share: "%", ms: "ms", per_second: "/s" };

export interface FigureProps {
  lanes: Lane[];
  marks: Mark[];
  span: Span;
  chosen: Chip | null;
  series: SeriesSet | null;
  changes: Changes;
  seriesProblem: string | null;
  missing: Missing[];
}

declare global {
  interface Window {
    /** What is drawn at the moment, for tests that compare it exactly. */
    deploymark?: { drawn: DrawList; means: MeanLine[]; span: Span };
  }
}

export function Figure(props: FigureProps) {
  const { marks, span, chosen, series } = props;
  const lanes = props.lanes.slice(0, MOST_LANES);
  const figure = useRef<HTMLElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  // Read by the tip alone: pointing at things makes nothing else anew.
  const hovered = useSignal<Hovered | null>(null);
  const charts = useRef(new Map<string, ChartParts>());
  const repaint = useRef<() => void>(() => {});
  const frame = useRef(0);
  const repaintSoon = () => {
    if (frame.current !== 0) return; // four charts that change together are one picture
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      repaint.current();
    });
  };
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  useLayoutEffect(() => {
    const element = figure.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      setWidth(element.clientWidth);
      repaint.current();
    });
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);

  const list = useMemo(
    () =>
      drawList(marks, {
        ...span,
        left: LEFT,
        width: Math.max(1, width - LEFT - RIGHT),
        lanes: lanes.map((_, i) => LANES_TOP + LANE_HEIGHT * (i + 0.5)),
        selected: chosen?.id ?? null,
      }),
    [marks, span.since, span.until, width, props.lanes, chosen?.id],
  );

  const at = chosen === null ? null : parsed(chosen.at);
  repaint.current = () => {
    if (canvas.current === null || figure.current === null || width === 0) return;
    const origin = figure.current.getBoundingClientRect();
    const plots: Area[] = [];
    const means: MeanLine[] = [];
    const scene = { ...span, left: LEFT, width: width - LEFT - RIGHT };
    const inside = (x: number) => Math.min(LEFT + scene.width, Math.max(LEFT, x));
    for (const { chart, changed, columns } of charts.current.values()) {
      const box = chart.over.getBoundingClientRect();
      const top = box.top - origin.top;
      plots.push({ top, bottom: top + box.height });
      if (changed === null || at === null) continue;
      for (const [since, until, value] of [
        [at - LOOK_MS, at, changed.before],
        [at, at + changed.lookedMs, changed.after],
      ] as const) {
        const seen = measured(columns, since, until);
        if (seen === null) continue;
        means.push({
          left: inside(xOf(seen.since, scene)),
          right: inside(xOf(seen.until, scene)),
          y: top + chart.valToPos(value, "y"),
        });
      }
    }
    const isSeen = at !== null && at >= span.since - LOOK_MS && at <= span.until;
    const selection = isSeen
      ? {
          x: xOf(at, scene),
          from: inside(xOf(at - LOOK_MS, scene)),
          to: inside(xOf(at + LOOK_MS, scene)),
        }
      : null;
    paint(canvas.current, {
      width,
      height: figure.current.clientHeight,
      plots,
      list,
      selection,
      means,
    });
    window.deploymark = { drawn: list, means, span };
  };
  useEffect(repaintSoon, [list, at, series, props.changes, isDark(), theme.value]);

  const keep = (name: string, parts: ChartParts | null) => {
    if (parts === null) charts.current.delete(name);
    else charts.current.set(name, parts);
    repaintSoon();
  };
  const pointed = (event: PointerEvent): Glyph | null => {
    const box = figure.current?.getBoundingClientRect();
    if (box === undefined) return null;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (y < LANES_TOP + lanes.length * LANE_HEIGHT + 6) return glyphAt(list, x, y, 9);
    const near = list.lines.filter((each) => Math.abs(each.x - x) <= 3).at(-1);
    return list.glyphs.find((glyph) => glyph.id === near?.id) ?? null;
  };
  const items = (series?.items ?? []).filter((each) => each.at_ms.length > 0);
  const without = (series?.items ?? []).filter((each) => each.at_ms.length === 0);
  const whose = series?.service
    ? `${series.service}${series.environment ? ` in ${series.environment}` : ""}`
    : "all services";
  return (
    <section
      class="panel figure"
      aria-label="Where and how bad"
      ref={figure}
      onPointerMove={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const glyph = pointed(event);
        hovered.value =
          glyph === null
            ? null
            : { glyph, x: event.clientX - box.left, y: event.clientY - box.top };
      }}
      onPointerLeave={() => {
        hovered.value = null;
      }}
      onClick={(event) => {
        const glyph = pointed(event as unknown as PointerEvent);
        if (glyph !== null) select(glyph.id);
      }}
    >
      <canvas ref={canvas} class="overlay" aria-hidden="true" />
      <Lanes lanes={lanes} hidden={props.lanes.length - lanes.length} marks={marks} />
      {items.map((each, i) => (
        <Chart
          key={each.name}
          series={each}
          width={width}
          hasAxis={i === items.length - 1}
          span={span}
          changed={props.changes[each.name] ?? null}
          whose={whose}
          service={chosen?.service ?? null}
          lanes={lanes.length}
          keep={keep}
        />
      ))}
      {items.length > 0 && without.length > 0 ? (
        <ul class="inside calm small">
          {without.map((each) => (
            <li key={each.name}>
              <strong>{KINDS[each.name]?.title ?? each.name}</strong>: {each.missing}
            </li>
          ))}
        </ul>
      ) : null}
      {items.length === 0 ? <NoSeries {...props} /> : null}
      {items.length > 0 && props.seriesProblem !== null ? (
        <p class="inside tone-warn small break" role="alert">
          These charts are of what was asked before, and say nothing of what came since.{" "}
          {props.seriesProblem}
        </p>
      ) : null}
      <Hover hovered={hovered} width={width} />
    </section>
  );
}

function NoSeries({ series, seriesProblem, missing }: FigureProps) {
  const told = missing.find((each) => each.what === "series")?.sentence;
  const first = series?.items.find((each) => each.missing !== null)?.missing;
  if (series === null && seriesProblem === null && told === undefined) {
    return <div class="charts-place" aria-busy="true" />;
  }
  return (
    <Empty>
      {seriesProblem ??
        told ??
        first ??
        "Nothing was measured in this window. Send OpenTelemetry to /v1/metrics, or name a Prometheus in the configuration."}
    </Empty>
  );
}

function Lanes({ lanes, hidden, marks }: { lanes: Lane[]; hidden: number; marks: Mark[] }) {
  const windowMs = 0;
  if (lanes.length === 0)
    return <Empty>No cluster, region or environment has a deployment in this window.</Empty>;
  return (
    <ul class="lanes" aria-label="Lanes">
      {lanes.map((lane, i) => (
        <li key={lane.kind + lane.name}>
          <span class="lane-name clip" title={`${lane.kind} ${lane.name}`}>
            {lane.name}
          </span>
          {lane.missing_since_at === null ? null : (
            <span class="lane-missing tone-warn">
              {missingMarkers(lane)} since {clock(parsed(lane.missing_since_at) ?? windowMs)}
            </span>
          )}
          <span class="hidden-text">{summary(marks, i)}</span>
        </li>
      ))}
      {hidden > 0 ? (
        <li class="calm small">{hidden} more lanes are not drawn: filter by cluster</li>
      ) : null}
    </ul>
  );
}

/** The lane for who does not see it: what falls into one column is told as one, by the worst. */
function summary(marks: Mark[], lane: number): string {
  const mine = marks.filter((mark) => mark.lane === lane);
  const total = mine.reduce((sum, mark) => sum + mark.count, 0);
  if (total > mine.length) {
    const [worst] = mine.map((mark) => mark.state).sort((a, b) => rankOf(a) - rankOf(b));
    return `${count(total)} deployments, the worst ${lookOf(worst ?? "").word}`;
  }
  const counts = new Map<string, number>();
  for (const { state } of mine) counts.set(state, (counts.get(state) ?? 0) + 1);
  return (
    [...counts].map(([state, number]) => `${count(number)} ${lookOf(state).word}`).join(", ") ||
    "no deployments"
  );
}

interface Hovered {
  glyph: Glyph;
  x: number;
  y: number;
}

function Hover({ hovered, width }: { hovered: Signal<Hovered | null>; width: number }) {
  return hovered.value === null ? null : <Tip {...hovered.value} width={width} />;
}

function Tip({ glyph, x, y, width }: Hovered & { width: number }) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return;
    const left = Math.min(x + 14, width - element.offsetWidth - 6);
    element.style.transform = `translate(${Math.max(4, left)}px, ${y + 14}px)`;
  });
  return (
    <div class="tip" ref={place} role="tooltip">
      <div class="clip">
        <strong>{glyph.service}</strong> <span class="mono">{glyph.version}</span>
      </div>
      <StateMark state={glyph.state} /> <span class="calm">{dayAndClock(glyph.at)}</span>
      {glyph.count > 1 ? <div class="calm">the worst of {count(glyph.count)} here</div> : null}
    </div>
  );
}

interface ChartParts {
  chart: uPlot;
  changed: Change | null;
  columns: Columns;
}

interface ChartProps {
  series: Series;
  width: number;
  hasAxis: boolean;
  span: Span;
  changed: Change | null;
  whose: string;
  service: string | null;
  lanes: number;
  keep: (name: string, parts: ChartParts | null) => void;
}

function Chart({ series, width, hasAxis, span, changed, whose, service, lanes, keep }: ChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const made = useRef<uPlot | null>(null);
  const seen = useRef(span);
  seen.current = span;
  const [pointed, setPointed] = useState<number | null>(null);
  const kind = KINDS[series.name] ?? {
    title: series.name,
    token: "series-requests",
    isWorseUp: false,
  };
  const columns = useMemo(() => inUnit(series), [series]);
  const data = useMemo(() => line(columns), [columns]);
  const dark = isDark();
  const height = chartHeight(lanes);

  useLayoutEffect(() => {
    if (element.current === null || width === 0) return;
    forgetColours();
    const chart = makeChart(element.current, {
      width,
      height,
      token: kind.token,
      hasAxis,
      startsAtZero: series.name === "errors",
      span: () => seen.current,
      onZoom: (since, until) =>
        change({ window: { since: Math.round(since), until: Math.round(until) } }),
      onPointer: (index) => setPointed(index),
    });
    made.current = chart;
    return () => {
      keep(series.name, null);
      made.current = null;
      chart.destroy();
    };
  }, [width, height, dark, theme.value, hasAxis]);

  useLayoutEffect(() => {
    const chart = made.current;
    if (chart === null) return;
    chart.setData([data.x, data.y]);
    // uPlot draws in a microtask; what is drawn over it needs its scales.
    queueMicrotask(() => {
      if (made.current === chart) keep(series.name, { chart, changed, columns });
    });
  }, [
    data,
    width,
    height,
    dark,
    theme.value,
    hasAxis,
    span.since,
    span.until,
    changed?.before,
    changed?.after,
  ]);

  const latest =
    series.latest === null ? null : series.unit === "share" ? series.latest * 100 : series.latest;
  const value = pointed === null ? latest : (data.y[pointed] ?? null);
  const when = pointed === null ? null : (data.x[pointed] ?? null);
  const unit = UNITS[series.unit] ?? series.unit;
  return (
    <div class="chart" data-series={series.name}>
      <header>
        <h2>
          {kind.title}{" "}
          <span class="chart-value">
            {value === null ? "–" : short(value)} <span class="calm small">{unit}</span>
          </span>{" "}
          <span class="calm small whose">{when === null ? whose : `at ${dayAndClock(when)}`}</span>
        </h2>
        <ChangeWords
          name={series.name}
          changed={changed}
          unit={unit}
          kind={kind}
          service={service}
        />
      </header>
      <div class="plot" ref={element} aria-hidden="true" />
    </div>
  );
}

function ChangeWords({
  name,
  changed,
  unit,
  kind,
  service,
}: {
  name: string;
  changed: Change | null;
  unit: string;
  kind: Kind;
  service: string | null;
}) {
  if (changed === null) return null;
  const part = changed.part === null ? "" : percentChange(changed.part);
  const isBad = kind.isWorseUp && changed.after > changed.before && (changed.part ?? 1) > 0.1;
  return (
    <span class={`change ${isBad ? "tone-bad" : "calm"}`} title={definitionOf(name)}>
      {short(changed.before)} → {short(changed.after)} {unit}
      {part} in {spelled(changed.lookedMs)} after {service}
    </span>
  );
}

function percentChange(part: number): string {
  const text = signed(part * 100, 0);
  return text === "0" ? ", no change" : ` ${text}%`;
}

/** So that four charts fill a screen, and none is too flat to be read. */
function chartHeight(lanes: number): number {
  if (innerWidth < 700) return 96;
  const others = 455 + lanes * LANE_HEIGHT;
  return Math.round(Math.min(240, Math.max(84, (innerHeight - others) / 4)));
}
