// What is on disk, read with SQLite's own shell and not with the server that wrote it.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./server.mjs";

function query(path, sql) {
  const out = execFileSync("sqlite3", ["-batch", "-json", "-cmd", ".timeout 5000", path, sql], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  return out.trim() ? JSON.parse(out) : [];
}

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

/** A copy of the store of a dead server, so that looking at it does not repair it. */
export function copyStore(path, folder = temporaryFolder()) {
  const copy = join(folder, "copy.db");
  for (const suffix of ["", "-wal"]) {
    if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
    else if (suffix) writeFileSync(copy + suffix, "");
  }
  return copy;
}

/** `{ head, records: [{ seq, author, session, message_no, bytes }] }` of one document, above `after`; null: no such document. */
export function readDocument(path, name, { org = "default", after = 0 } = {}) {
  const [doc] = query(
    path,
    `SELECT head, hex(document) AS id, (SELECT count(*) FROM records r WHERE r.org = d.org AND r.document = d.document) AS rows
       FROM documents d WHERE org = ${quoted(org)} AND name = ${quoted(name)}`,
  );
  if (!doc) return null;
  const records = query(
    path,
    `SELECT seq, author, session, message_no, hex(bytes) AS bytes FROM records
       WHERE org = ${quoted(org)} AND document = x'${doc.id}' AND seq > ${after} ORDER BY seq`,
  ).map((row) => ({ ...row, bytes: new Uint8Array(Buffer.from(row.bytes, "hex")) }));
  return { head: doc.head, rows: doc.rows, records };
}

/** seq is gapless from `after` + 1 to head, and nothing that was there is gone. Answers a complaint or null. */
export function gap(document, after = 0) {
  let expected = after;
  for (const { seq } of document.records) {
    expected += 1;
    if (seq !== expected) return `seq ${seq} where ${expected} was due`;
  }
  if (expected !== document.head) return `head is ${document.head}, the last record ${expected}`;
  if (document.rows !== document.head) return `${document.rows} records, head ${document.head}`;
  return null;
}

export function integrity(path) {
  return query(path, "PRAGMA integrity_check")[0]?.integrity_check;
}

/** Records as `moonloom update apply --log` reads them: each after its length, little-endian. */
export function writeLog(path, records) {
  const parts = [];
  for (const { bytes } of records) {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(bytes.length);
    parts.push(head, bytes);
  }
  writeFileSync(path, Buffer.concat(parts));
}

export function fileEquals(path, bytes) {
  return Buffer.compare(readFileSync(path), Buffer.from(bytes)) === 0;
}
