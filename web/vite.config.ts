// How the page is built and served while it is worked on. The shell (HTML) is the server's.

import { defineConfig } from "vite";
import { assets } from "./tooling/assets.ts";
import { shell } from "./tooling/shell.ts";

const BASE = "/assets/";
const COMMON =
  /node_modules\/(preact|@preact)\/|\/src\/(address|api|keys|live|state|time|boot|pages\/oncall\/panels|parts\/(actions|copy|dialog|empty|frame|help|link|page|palette|panel|problem|sign-in|state-mark|when|words))/;

export default defineConfig(({ command }) => ({
  base: command === "build" ? BASE : "/",
  publicDir: false,
  plugins: [
    assets(BASE, process.env.DEPLOYMARK_PAGE_SOURCES ?? ""),
    shell(process.env.DEPLOYMARK_URL ?? "http://127.0.0.1:8420"),
  ],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
    outDir: "../src/deploymark/server/assets",
    emptyOutDir: true,
    assetsDir: "",
    assetsInlineLimit: 0, // the content security policy takes no data: addresses
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: "src/main.tsx",
      // Few files: each page is its own chunk, and what the page for people on call needs of the
      // rest is one, however many others need it too.
      output: { codeSplitting: { groups: [{ name: "common", test: COMMON }] } },
    },
    reportCompressedSize: false,
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
}));
