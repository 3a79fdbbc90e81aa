// Server-sent events out of a stream of text. Unlike the browser's EventSource it also tells of
// comments, by which the server says that it is alive, and of ids without data. Pure.

export type Told =
  | { kind: "event"; id: number | null; type: string; data: string }
  | { kind: "alive"; id: number | null };

export class EventReader {
  private rest = "";

  /** Everything that became complete by this piece of text. */
  push(text: string): Told[] {
    const told: Told[] = [];
    const blocks = (this.rest + text.replaceAll("\r\n", "\n")).split("\n\n");
    this.rest = blocks.pop() ?? "";
    for (const block of blocks) told.push(read(block));
    return told;
  }
}

function read(block: string): Told {
  let id: number | null = null;
  let type = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "id" && /^-?\d+$/.test(value)) id = Number(value);
    else if (name === "event") type = value;
    else if (name === "data") data.push(value);
  }
  if (data.length === 0) return { kind: "alive", id };
  return { kind: "event", id, type, data: data.join("\n") };
}
