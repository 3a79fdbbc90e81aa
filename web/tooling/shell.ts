// While the page is worked on (`make dev`): pages come from a running deploymark, with the built
// scripts in them exchanged for the ones that Vite reloads. Takes no part in the build.

import type { Plugin } from "vite";

const OURS = /^\/(@|src\/|tooling\/|node_modules\/)/;

export function shell(server: string): Plugin {
  return {
    name: "deploymark-shell",
    apply: "serve",
    config: () => ({
      appType: "custom",
      server: {
        proxy: { "^/(v1|log|openapi.json)(/|$|\\?)": { target: server, changeOrigin: true } },
      },
    }),
    configureServer(vite) {
      return () => {
        vite.middlewares.use(async (request, response, next) => {
          const url = request.url ?? "/";
          if (OURS.test(url) || request.method !== "GET") return next();
          const headers = {
            accept: request.headers.accept ?? "*/*",
            cookie: request.headers.cookie ?? "",
          };
          const asked = new URL(url, server);
          const answer = await fetch(asked, { headers, redirect: "manual" }).catch(() => null);
          if (answer === null) {
            response.writeHead(503, { "content-type": "text/plain", refresh: "1" });
            return response.end(`Nothing answers at ${server} yet; this is asked again.\n`);
          }
          response.statusCode = answer.status;
          for (const name of ["content-type", "location", "set-cookie"]) {
            const value = answer.headers.get(name);
            if (value !== null) response.setHeader(name, value);
          }
          const text = await answer.text();
          const isPage = answer.headers.get("content-type")?.startsWith("text/html") ?? false;
          response.end(isPage ? reloading(text) : text);
        });
      };
    },
  };
}

function reloading(html: string): string {
  const bare = html
    .replace(/<link[^>]*\/assets\/[^>]*>/g, "")
    .replace(/<script[^>]*src="\/assets\/[^>]*><\/script>/g, "");
  const scripts = ["/@vite/client", "/src/main.tsx"]
    .map((source) => `<script type="module" src="${source}"></script>`)
    .join("");
  return bare.includes("</head>") ? bare.replace("</head>", `${scripts}</head>`) : bare + scripts;
}
