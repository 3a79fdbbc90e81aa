// Where marks stand: from instants and lanes to a list of things to draw, merged per pixel column,
// the worst state winning. The list is what tests look at; paint.ts only puts it on a canvas. Pure.

import { isFaint, rankOf } from "../state/shown.ts";

export interface Mark {
  at_ms: number;
  /** Position of its lane. */
  lane: number;
  state: string;
  count: number;
  id: string;
  service: string;
  version: string;
}

export interface Scene {
  since: number;
  until: number;
  /** Plot area in CSS pixels. */
  left: number;
  width: number;
  /** Middle of each lane that is drawn. */
  lanes: readonly number[];
  selected: string | null;
}

export interface Glyph {
  kind: "glyph";
  x: number;
  y: number;
  lane: number;
  state: string;
  count: number;
  id: string;
  service: string;
  version: string;
  at: number;
  isSelected: boolean;
  isFaint: boolean;
}

export interface Line {
  kind: "line";
  x: number;
  state: string;
  id: string;
  isSelected: boolean;
  isFaint: boolean;
}

export interface DrawList {
  glyphs: Glyph[];
  lines: Line[];
}

const FAINT_APART = 4;

export function xOf(at: number, scene: Pick<Scene, "since" | "until" | "left" | "width">): number {
  return scene.left + ((at - scene.since) / (scene.until - scene.since)) * scene.width;
}

/** Everything in the window. Healthy marks share a column of 4 px, others one of 1 px. */
export function drawList(marks: readonly Mark[], scene: Scene): DrawList {
  const glyphs = new Map<string, Glyph>();
  const lines = new Map<string, Line>();
  for (const mark of marks) {
    if (mark.at_ms < scene.since || mark.at_ms > scene.until) continue;
    const faint = isFaint(mark.state);
    const isSelected = mark.id === scene.selected;
    const place = xOf(mark.at_ms, scene);
    const x =
      faint && !isSelected
        ? scene.left + Math.floor((place - scene.left) / FAINT_APART) * FAINT_APART
        : Math.round(place);
    const shape = { x, state: mark.state, id: mark.id, isSelected, isFaint: faint && !isSelected };
    keep(lines, `${x}`, { kind: "line", ...shape });
    const y = scene.lanes[mark.lane];
    if (y === undefined) continue;
    const key = `${mark.lane} ${x}`;
    const count = mark.count + (glyphs.get(key)?.count ?? 0);
    keep(glyphs, key, {
      kind: "glyph",
      ...shape,
      y,
      lane: mark.lane,
      service: mark.service,
      version: mark.version,
      at: mark.at_ms,
      count,
    });
    const kept = glyphs.get(key);
    if (kept !== undefined) kept.count = count;
  }
  return { glyphs: ordered([...glyphs.values()]), lines: ordered([...lines.values()]) };
}

/** The glyph at a place on the screen, at most `reach` pixels away; the nearest, then the worst. */
export function glyphAt(list: DrawList, x: number, y: number, reach = 8): Glyph | null {
  let best: Glyph | null = null;
  let least = reach * reach;
  for (const glyph of list.glyphs) {
    const distance = (glyph.x - x) ** 2 + (glyph.y - y) ** 2;
    if (distance <= least) [best, least] = [glyph, distance];
  }
  return best;
}

interface Shape {
  state: string;
  isSelected: boolean;
}

/** Selected before worse before earlier told. */
function keep<T extends Shape>(found: Map<string, T>, key: string, shape: T): void {
  const known = found.get(key);
  if (known === undefined || isAbove(shape, known)) found.set(key, shape);
}

function isAbove(one: Shape, other: Shape): boolean {
  if (one.isSelected !== other.isSelected) return one.isSelected;
  return rankOf(one.state) < rankOf(other.state);
}

/** What is drawn last lies on top: the selected one, below it the worst. */
function ordered<T extends Shape & { x: number }>(shapes: T[]): T[] {
  return shapes.sort(
    (one, other) =>
      Number(one.isSelected) - Number(other.isSelected) ||
      rankOf(other.state) - rankOf(one.state) ||
      one.x - other.x,
  );
}
