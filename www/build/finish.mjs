/*
 * After `vite build`: fills in the service worker, checks the page and the budgets, writes the licences of what is
 * shipped, gzip copies, and dist/files.tsv: everything the server may send (path, type, cache, bytes, gzip bytes or -).
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const WWW = fileURLToPath(new URL("../", import.meta.url));
const DIST = join(WWW, "dist/");
const NONCE = "__ML_NONCE__";
const BUDGETS = { shell: 40_000, editor: 220_000 };
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".woff2": "font/woff2",
};
const ALLOWED = new Set(["MIT", "ISC", "OFL-1.1", "BSD-2-Clause", "BSD-3-Clause"]);
const IMMUTABLE = "public, max-age=31536000, immutable";

const manifest = JSON.parse(readFileSync(join(DIST, ".vite/manifest.json"), "utf8"));
rmSync(join(DIST, ".vite"), { recursive: true });

const zipped = (path) => gzipSync(readFileSync(join(DIST, path)), { level: 9 });

/** A chunk, what it imports at once, and their styles. Images and fonts come later and are not counted. */
function reach(key, found = new Set()) {
  const entry = manifest[key];
  if (found.has(entry.file)) return found;
  found.add(entry.file);
  for (const style of entry.css ?? []) found.add(style);
  for (const next of entry.imports ?? []) reach(next, found);
  return found;
}

const shell = reach("index.html");
const editor = reach("src/editor/page.tsx", new Set(shell));
for (const file of reach("src/editor/page.tsx")) editor.add(file);

function weigh(files) {
  return [...files].reduce((sum, file) => sum + zipped(file).length, gzipSync(readFileSync(join(DIST, "index.html"))).length);
}

const failures = [];
for (const [name, files] of Object.entries({ shell, editor })) {
  const bytes = weigh(files);
  console.log(`${name}: ${(bytes / 1000).toFixed(1)} kB gzip of ${BUDGETS[name] / 1000} kB`);
  if (bytes > BUDGETS[name]) failures.push(`${name} is over its budget`);
}

const page = readFileSync(join(DIST, "index.html"), "utf8");
if (!page.includes(NONCE)) failures.push(`index.html lacks ${NONCE}`);
if (/<script(?![^>]*\ssrc=)/.test(page) || /\sstyle=/.test(page) || /<style/.test(page)) failures.push("index.html has inline code");

/** The texts that the authors ask to be kept with their work; packages that share one share it here. */
function licences() {
  const { packages } = JSON.parse(readFileSync(join(WWW, "package-lock.json"), "utf8"));
  const byText = new Map();
  for (const [path, { dev, optional, version, license }] of Object.entries(packages)) {
    if (path === "" || dev || optional) continue;
    if (!ALLOWED.has(license)) failures.push(`${path}: licence ${license}`);
    const folder = join(WWW, path);
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
    const text = file === undefined ? license : readFileSync(join(folder, file), "utf8").trim();
    const name = `${path.slice(path.lastIndexOf("node_modules/") + 13)} ${version}`;
    byText.set(text, [...(byText.get(text) ?? []), name]);
  }
  byText.set(readFileSync(join(WWW, "src/assets/icons.LICENSE"), "utf8").trim(), ["Lucide icons"]);
  const parts = [...byText].map(([text, names]) => `${names.join(", ")}\n\n${text}\n`);
  return `This page contains the work of others.\n\n${parts.join(`\n${"-".repeat(72)}\n\n`)}`;
}
writeFileSync(join(DIST, "licenses.txt"), licences());

const walk = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? walk(join(folder, e.name)) : [join(folder, e.name)]));
const files = walk(DIST)
  .map((path) => relative(DIST, path))
  .filter((path) => !path.endsWith(".gz") && path !== "files.tsv")
  .sort();

// Fonts for other scripts are fetched when a document needs them.
const wanted = (path) => path.startsWith("assets/") && (extname(path) !== ".woff2" || /-latin-wght-normal-/.test(path));
const precache = files.filter(wanted).map((path) => `/${path}`);
const version = createHash("sha256").update(page).update(files.join("\n")).digest("hex").slice(0, 12);
const worker = join(DIST, "sw.js");
writeFileSync(worker, readFileSync(worker, "utf8").replace("__ML_VERSION__", version).replace("__ML_PRECACHE__", precache.join(" ")));

const rows = files.map((path) => {
  const type = TYPES[extname(path)];
  if (type === undefined) failures.push(`no type for ${path}`);
  const html = extname(path) === ".html";
  const cache = html ? "no-store" : path.startsWith("assets/") ? IMMUTABLE : "no-cache";
  let small = "-";
  // index.html changes with every response, fonts are compressed already.
  if (!html && extname(path) !== ".woff2") {
    const bytes = zipped(path);
    writeFileSync(join(DIST, `${path}.gz`), bytes);
    small = String(bytes.length);
  }
  return [`/${path}`, type, cache, statSync(join(DIST, path)).size, small].join("\t");
});
writeFileSync(join(DIST, "files.tsv"), `${rows.join("\n")}\n`);

if (!existsSync(join(DIST, "favicon.svg"))) failures.push("favicon.svg is missing");
for (const failure of failures) console.error(`build: ${failure}`);
process.exit(failures.length === 0 ? 0 : 1);
