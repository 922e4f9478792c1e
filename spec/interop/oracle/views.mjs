// What a reader sees, in the words in which our engine says it: JSON with bytes as {"$bytes": hex}, bigints as decimal
// strings, subdocuments as their guid; deltas joined where neighbours have equal attributes.
import { Y } from "../packages.mjs";
import { rootOf } from "./operations.mjs";

const hex = (bytes) => Buffer.from(bytes).toString("hex");

function readable(v) {
  if (v === undefined || v === null) return null;
  if (typeof v === "number") return Number.isFinite(v) ? v + 0 : null;
  if (typeof v === "bigint") return String(v);
  if (typeof v !== "object") return v;
  if (v instanceof Uint8Array) return { $bytes: hex(v) };
  if (v instanceof Y.Doc) return v.guid;
  if (v instanceof Y.AbstractType) return jsonOf(v);
  if (Array.isArray(v)) return v.map(readable);
  return membersOf(Object.entries(v));
}

const membersOf = (entries) =>
  Object.fromEntries(entries.filter(([, v]) => v !== undefined).map(([key, v]) => [key, readable(v)]));

function jsonOf(type) {
  if (type instanceof Y.Map) return membersOf([...type.entries()]);
  if (type instanceof Y.Array) return type.toArray().map(readable);
  return type.toString();
}

const deltaOf = (type) =>
  type.toDelta().map(({ insert, attributes }) => ({
    insert: readable(insert),
    ...(attributes && Object.keys(attributes).length > 0 ? { attributes: membersOf(Object.entries(attributes)) } : {}),
  }));

const LOOKS = {
  text: (t) => ({ text: t.toString(), delta: deltaOf(t) }),
  xmltext: (t) => ({ xml: t.toString(), delta: deltaOf(t) }),
  map: (t) => ({ json: jsonOf(t) }),
  array: (t) => ({ json: jsonOf(t) }),
  xmlfragment: (t) => ({ xml: t.toString() }),
};

export const viewsOf = (doc, roots) =>
  Object.fromEntries(roots.map((root) => [root.name, LOOKS[root.type](rootOf(doc, root))]));

// ---- Comparing ----------------------------------------------------------------------------------

function sorted(v) {
  if (Array.isArray(v)) return v.map(sorted);
  if (v === null || typeof v !== "object") return v === 0 ? 0 : v;
  return Object.fromEntries(
    Object.keys(v)
      .sort()
      .map((key) => [key, sorted(v[key])]),
  );
}

function joined(delta) {
  const out = [];
  for (const op of delta) {
    const last = out[out.length - 1];
    const attributes = JSON.stringify(sorted(op.attributes ?? {}));
    if (last && typeof last.insert === "string" && typeof op.insert === "string" && last.attributes === attributes)
      last.insert += op.insert;
    else out.push({ insert: sorted(op.insert), attributes });
  }
  return out;
}

/** A text that is the same for equal views. An untouched root is as good as an empty one. */
export function canonical(views) {
  const out = {};
  for (const [name, view] of Object.entries(views)) {
    const empty = view.json && JSON.stringify(view.json).length === 2;
    out[name] = {
      ...view,
      ...(view.json ? { json: empty ? [] : sorted(view.json) } : {}),
      ...(view.delta ? { delta: joined(view.delta) } : {}),
    };
  }
  return JSON.stringify(out);
}
