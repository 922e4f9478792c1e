import { defineConfig } from "vitest/config";

const backend = process.env["MOONLOOM_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  // The server puts a fresh nonce in this place in every response.
  html: { cspNonce: "__ML_NONCE__" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: true,
    rollupOptions: {
      input: { app: "index.html", sw: "src/sw.ts" },
      output: {
        // The service worker keeps its name: its address is its identity.
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  server: {
    proxy: {
      "/api": backend,
      "/auth": backend,
      "/sync": { target: backend, ws: true },
    },
  },
  test: { include: ["spec/**/*.test.ts"], environment: "node" },
});
