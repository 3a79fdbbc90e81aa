// What the build leaves besides Vite's files: compressed copies, the manifest that the server reads,
// and the budget, which fails the build when it is exceeded. Knows nothing of what is on the pages.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin, Rolldown } from "vite";

const BUDGET_BYTES = { oncall: 60 * 1024, all: 120 * 1024 };
const TYPES: Record<string, string> = {
  css: "text/css",
  js: "text/javascript",
  svg: "image/svg+xml",
};

interface PageFiles {
  scripts: string[];
  styles: string[];
}

interface Written {
  bytes: number;
  br: number;
  gz: number;
  type: string;
}

export function assets(base: string, sources: string): Plugin {
  return {
    name: "deploymark-assets",
    apply: "build",
    writeBundle(options, bundle) {
      const folder = options.dir ?? ".";
      const files: Record<string, Written> = {};
      for (const name of Object.keys(bundle)) files[name] = compress(folder, name);
      const chunks = Object.values(bundle).filter((each) => each.type === "chunk");
      const entry = chunks.find((each) => each.isEntry);
      if (entry === undefined) throw new Error("The build has no entry.");
      const common = reached(entry, chunks);
      const pages: Record<string, PageFiles> = {};
      for (const chunk of chunks) {
        const page = /\/src\/pages\/([a-z_]+)\.tsx$/.exec(chunk.facadeModuleId ?? "")?.[1];
        if (page !== undefined && chunk.isDynamicEntry) {
          pages[page] = without(reached(chunk, chunks), common);
        }
      }
      const weigh = (names: string[]) =>
        names.reduce((sum, name) => sum + (files[name]?.br ?? 0), 0);
      const all = (set: PageFiles) => [...set.scripts, ...set.styles];
      const oncall = pages.oncall;
      const budgets = {
        oncall: weigh([...all(common), ...(oncall === undefined ? [] : all(oncall))]),
        all: weigh(Object.keys(files)),
      };
      const manifest = { sources, base, ...common, pages, files, budgets };
      writeFileSync(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
      for (const name of ["oncall", "all"] as const) {
        const kilobytes = (budgets[name] / 1024).toFixed(1);
        this.info(`${name}: ${kilobytes} KB of scripts and styles (brotli)`);
        if (budgets[name] > BUDGET_BYTES[name]) {
          this.error(`${name} is ${kilobytes} KB; its budget is ${BUDGET_BYTES[name] / 1024} KB.`);
        }
      }
    },
  };
}

function compress(folder: string, name: string): Written {
  const content = readFileSync(join(folder, name));
  const br = brotliCompressSync(content, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  });
  const gz = gzipSync(content, { level: 9 });
  writeFileSync(join(folder, `${name}.br`), br);
  writeFileSync(join(folder, `${name}.gz`), gz);
  const type = TYPES[name.split(".").pop() ?? ""] ?? "application/octet-stream";
  return { bytes: content.length, br: br.length, gz: gz.length, type };
}

/** Every file that a chunk needs before it runs: itself first, then what it imports. */
function reached(from: Rolldown.OutputChunk, chunks: Rolldown.OutputChunk[]): PageFiles {
  const scripts: string[] = [];
  const styles = new Set<string>();
  const visit = (chunk: Rolldown.OutputChunk | undefined) => {
    if (chunk === undefined || scripts.includes(chunk.fileName)) return;
    scripts.push(chunk.fileName);
    const css = (chunk as { viteMetadata?: { importedCss: Set<string> } }).viteMetadata
      ?.importedCss;
    for (const name of css ?? []) styles.add(name);
    for (const name of chunk.imports) visit(chunks.find((each) => each.fileName === name));
  };
  visit(from);
  return { scripts, styles: [...styles] };
}

function without(set: PageFiles, known: PageFiles): PageFiles {
  return {
    scripts: set.scripts.filter((name) => !known.scripts.includes(name)),
    styles: set.styles.filter((name) => !known.styles.includes(name)),
  };
}
