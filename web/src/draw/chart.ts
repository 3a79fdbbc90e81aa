// One chart: uPlot around one series, its plot aligned with the lanes above. Marks are not drawn
// here (paint.ts), nor is any number computed (series.ts).

import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";
import { ticks } from "../time/axis.ts";
import { colour } from "./colour.ts";
import { short } from "./series.ts";

export const LEFT = 52;
export const RIGHT = 18;
const AXIS_HEIGHT = 24;

export interface ChartSettings {
  width: number;
  height: number;
  token: string;
  hasAxis: boolean;
  startsAtZero: boolean;
  span: () => { since: number; until: number };
  onZoom: (since: number, until: number) => void;
  /** Position in the data under the pointer, null when it is elsewhere. */
  onPointer: (index: number | null) => void;
}

export function makeChart(element: HTMLElement, settings: ChartSettings): uPlot {
  const calm = colour("calm");
  const grid = { stroke: colour("grid"), width: 1 };
  const font = '11px system-ui, "DejaVu Sans", sans-serif';
  return new uPlot(
    {
      width: settings.width,
      height: settings.height + (settings.hasAxis ? AXIS_HEIGHT : 0),
      padding: [6, RIGHT, settings.hasAxis ? 0 : 6, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: false },
        sync: { key: "deploymark" },
        drag: { x: true, y: false, setScale: false },
      },
      scales: {
        x: {
          time: false,
          range: () => {
            const { since, until } = settings.span();
            return [since, until];
          },
        },
        y: {
          range: (_, low, high) => {
            if (low === null || high === null) return [0, 1];
            const [from, to] = uPlot.rangeNum(low, high, 0.12, true);
            return [
              settings.startsAtZero ? 0 : (from ?? 0),
              to === from ? (to ?? 0) + 1 : (to ?? 1),
            ];
          },
        },
      },
      axes: [
        {
          show: settings.hasAxis,
          size: AXIS_HEIGHT,
          stroke: calm,
          font,
          grid,
          ticks: { show: false },
          splits: (chart, _, low, high) => ticks(low, high, chart.width).map((tick) => tick.at),
          values: (chart) => {
            const { since, until } = settings.span();
            return ticks(since, until, chart.width).map((tick) => tick.label);
          },
        },
        {
          size: LEFT,
          stroke: calm,
          font,
          grid,
          ticks: { show: false },
          gap: 6,
          space: 30,
          values: (_, values) => values.map(short),
        },
      ],
      series: [
        {},
        { stroke: colour(settings.token), width: 1.25, points: { show: false }, spanGaps: false },
      ],
      hooks: {
        setSelect: [
          (chart) => {
            const { left, width } = chart.select;
            if (width < 6) return;
            settings.onZoom(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
            chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          },
        ],
        setCursor: [(chart) => settings.onPointer(chart.cursor.idx ?? null)],
      },
    },
    [[], []],
    element,
  );
}
