// Puts a draw list on the overlay canvas: lines over the charts, glyphs on the lanes, the selection
// with its half hours before and after. What stands where is decided in marks.ts.

import { lookOf } from "../state/shown.ts";
import { colour } from "./colour.ts";
import type { DrawList, Glyph, Line } from "./marks.ts";

export interface Area {
  top: number;
  bottom: number;
}

export interface MeanLine {
  left: number;
  right: number;
  y: number;
}

export interface Selection {
  x: number;
  from: number;
  to: number;
}

export interface Picture {
  width: number;
  height: number;
  plots: readonly Area[];
  list: DrawList;
  selection: Selection | null;
  means: readonly MeanLine[];
}

export function paint(canvas: HTMLCanvasElement, picture: Picture): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(picture.width * ratio), Math.round(picture.height * ratio)];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, picture.width, picture.height);
  if (picture.selection !== null) paintBand(context, picture);
  paintLines(context, picture.list.lines, picture.plots);
  for (const mean of picture.means) paintMean(context, mean);
  for (const glyph of picture.list.glyphs) paintGlyph(context, glyph);
}

function paintBand(context: CanvasRenderingContext2D, picture: Picture): void {
  const { selection } = picture;
  if (selection === null) return;
  context.fillStyle = colour("band");
  for (const { top, bottom } of picture.plots) {
    context.fillRect(selection.from, top, selection.to - selection.from, bottom - top);
  }
}

const DASHES: Record<string, number[]> = {
  canary: [4, 3],
  paused: [4, 3],
  rolling_out: [1.5, 3],
  unknown: [1.5, 3],
};

/** Lines of one look, which stand together in the list, are one path: strokes cost more than lines. */
function paintLines(
  context: CanvasRenderingContext2D,
  lines: readonly Line[],
  plots: readonly Area[],
): void {
  let look = "";
  for (const line of lines) {
    const mine = `${line.isSelected} ${line.isFaint} ${line.state}`;
    if (mine !== look) {
      if (look !== "") context.stroke();
      look = mine;
      context.strokeStyle = line.isFaint
        ? colour("mark")
        : colour(line.isSelected ? "accent" : lookOf(line.state).tone);
      context.lineWidth = line.isSelected ? 2 : line.isFaint ? 1 : 1.4;
      context.setLineDash(line.isSelected ? [] : (DASHES[line.state] ?? []));
      context.beginPath();
    }
    for (const { top, bottom } of plots) {
      context.moveTo(line.x + 0.5, top);
      context.lineTo(line.x + 0.5, bottom);
    }
  }
  if (look !== "") context.stroke();
  context.setLineDash([]);
}

function paintMean(context: CanvasRenderingContext2D, mean: MeanLine): void {
  context.strokeStyle = colour("mean");
  context.lineWidth = 1.6;
  context.beginPath();
  context.moveTo(mean.left, mean.y);
  context.lineTo(mean.right, mean.y);
  context.stroke();
}

/** Shapes differ by state, so that they can be told apart without colour. */
function paintGlyph(context: CanvasRenderingContext2D, glyph: Glyph): void {
  const { x, y } = glyph;
  context.save();
  context.translate(x, y);
  const tone = glyph.isFaint ? colour("faint") : colour(lookOf(glyph.state).tone);
  context.fillStyle = tone;
  context.strokeStyle = tone;
  context.lineWidth = 2;
  if (glyph.isSelected) {
    context.strokeStyle = colour("accent");
    context.lineWidth = 1.5;
    circle(context, 8);
    context.stroke();
    context.strokeStyle = tone;
    context.lineWidth = 2;
  }
  const size = glyph.isFaint ? Math.min(4, 2 + Math.log2(glyph.count) * 0.6) : 4;
  (SHAPES[glyph.state] ?? dot)(context, size);
  context.restore();
}

type Shape = (context: CanvasRenderingContext2D, size: number) => void;

function circle(context: CanvasRenderingContext2D, size: number, from = 0, to = 2 * Math.PI): void {
  context.beginPath();
  context.arc(0, 0, size, from, to);
}

const dot: Shape = (context, size) => {
  circle(context, size);
  context.fill();
};

const ring: Shape = (context, size) => {
  context.lineWidth = 1.4;
  circle(context, size);
  context.stroke();
};

const SHAPES: Record<string, Shape> = {
  failed: (context, size) => {
    context.beginPath();
    context.moveTo(-size, -size);
    context.lineTo(size, size);
    context.moveTo(size, -size);
    context.lineTo(-size, size);
    context.stroke();
  },
  rolling_back: (context, size) => {
    circle(context, size, 0.5, 5.2);
    context.stroke();
    context.beginPath();
    context.moveTo(size + 2, -4.5);
    context.lineTo(size + 2, 0.5);
    context.lineTo(size - 2.5, -1);
    context.fill();
  },
  paused: (context, size) => {
    context.fillRect(-size, -size, 3, 2 * size);
    context.fillRect(size - 3, -size, 3, 2 * size);
  },
  canary: (context, size) => {
    context.lineWidth = 1.4;
    circle(context, size);
    context.stroke();
    circle(context, size, Math.PI / 2, 1.5 * Math.PI);
    context.fill();
  },
  rolling_out: (context, size) => {
    context.beginPath();
    context.moveTo(-size, -size);
    context.lineTo(size + 1, 0);
    context.lineTo(-size, size);
    context.fill();
  },
  unknown: (context, size) => {
    context.lineWidth = 1.4;
    context.beginPath();
    context.moveTo(0, -size - 1);
    context.lineTo(size + 1, 0);
    context.lineTo(0, size + 1);
    context.lineTo(-size - 1, 0);
    context.closePath();
    context.stroke();
  },
  planned: ring,
  superseded: ring,
  rolled_back: ring,
  removed: ring,
  config: (context, size) => context.fillRect(-size + 0.5, -size + 0.5, 2 * size - 1, 2 * size - 1),
};
