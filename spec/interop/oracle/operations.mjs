// Edits as data: { op, path, … }. `path` is the name of a root, then map keys and list indexes. Chosen so that they are
// valid where they are made; carried out through the public API of Yjs.
//
//   text.insert {index, text, attrs?}   text.embed {index, embed, attrs?}   text.delete {index, length}
//   text.format {index, length, attrs}  text.delta {delta}
//   map.set {key, value}   map.delete {key}   map.clear
//   array.insert {index, values}   array.push {values}   array.delete {index, length}
//   xml.insert {index, nodes}   xml.delete {index, length}   attr.set {key, value}   attr.remove {key}
//
// Values that JSON lacks: {"$y": "undefined"}, {"$y": "num"|"bigint"|"bytes", "v"}. New types: {"$new": "map"|"array"|
// "text"|"xmltext"|"xmlelement"|"xmlfragment"|"xmlhook"|"doc", …} with entries, values, text, name, attrs, children, guid, opts.
import { encoding, Y } from "../packages.mjs";
import { attributes, KEYS, pairs, text, value } from "./random.mjs";

export const TYPES = {
  text: Y.Text,
  map: Y.Map,
  array: Y.Array,
  xmlfragment: Y.XmlFragment,
  xmltext: Y.XmlText,
};

export const rootOf = (doc, root) => doc.get(root.name, TYPES[root.type]);

// ---- From data to values ------------------------------------------------------------------------

const NUMBERS = { NaN, Infinity, "-Infinity": -Infinity, "-0": -0 };
const LACKING = {
  undefined: () => undefined,
  num: (v) => NUMBERS[v],
  bigint: (v) => BigInt(v),
  bytes: (v) => new Uint8Array(Buffer.from(v, "hex")),
};

export function meant(v) {
  if (v === null || typeof v !== "object") return v;
  if (Array.isArray(v)) return v.map(meant);
  if (v.$y !== undefined) return LACKING[v.$y](v.v);
  if (v.$new !== undefined) return MAKE[v.$new](v);
  return Object.fromEntries(Object.entries(v).map(([key, inner]) => [key, meant(inner)]));
}

/** The same for a writer that makes new types itself: only what JSON lacks is put in its place. */
function plain(v) {
  if (v === null || typeof v !== "object") return v;
  if (Array.isArray(v)) return v.map(plain);
  if (v.$y !== undefined) return LACKING[v.$y](v.v);
  return Object.fromEntries(Object.entries(v).map(([key, inner]) => [key, plain(inner)]));
}

/** Operations as bytes of an Any. */
export function encoded(operations) {
  const encoder = encoding.createEncoder();
  encoding.writeAny(encoder, plain(operations));
  return encoding.toUint8Array(encoder);
}

function filled(map, entries = {}) {
  for (const [key, v] of Object.entries(entries)) map.set(key, meant(v));
  return map;
}

function withChildren(type, children) {
  if (children) type.insert(0, children.map(meant));
  return type;
}

const MAKE = {
  map: (d) => filled(new Y.Map(), d.entries),
  array: (d) => withChildren(new Y.Array(), d.values),
  text: (d) => new Y.Text(d.text),
  xmltext: (d) => new Y.XmlText(d.text),
  xmlfragment: (d) => withChildren(new Y.XmlFragment(), d.children),
  xmlhook: (d) => filled(new Y.XmlHook(d.name), d.entries),
  doc: (d) => new Y.Doc({ guid: d.guid, ...d.opts }),
  xmlelement: (d) => {
    const element = new Y.XmlElement(d.name);
    for (const [key, v] of Object.entries(d.attrs ?? {})) element.setAttribute(key, meant(v));
    return withChildren(element, d.children);
  },
};

// ---- Carrying out -------------------------------------------------------------------------------

/** The embedded type at a unit of a text. */
function embeddedAt(type, index) {
  let at = 0;
  for (const { insert } of type.toDelta()) {
    at += typeof insert === "string" ? insert.length : 1;
    if (index < at) return insert;
  }
  return undefined;
}

function child(type, step) {
  if (!(type instanceof Y.AbstractType)) return undefined;
  if (typeof step === "number") return type instanceof Y.Text ? embeddedAt(type, step) : type.get(step);
  return type instanceof Y.Map ? type.get(step) : type.getAttribute(step);
}

function resolve(doc, roots, [name, ...steps]) {
  const type = steps.reduce(
    child,
    rootOf(
      doc,
      roots.find((root) => root.name === name),
    ),
  );
  if (!(type instanceof Y.AbstractType)) throw new Error("no type there");
  return type;
}

const PERFORM = {
  "text.insert": (t, o) => t.insert(o.index, o.text, o.attrs && meant(o.attrs)),
  "text.embed": (t, o) => t.insertEmbed(o.index, meant(o.embed), o.attrs && meant(o.attrs)),
  "text.delete": (t, o) => t.delete(o.index, o.length),
  "text.format": (t, o) => t.format(o.index, o.length, meant(o.attrs)),
  "text.delta": (t, o) => t.applyDelta(o.delta.map(meant)),
  "map.set": (t, o) => t.set(o.key, meant(o.value)),
  "map.delete": (t, o) => t.delete(o.key),
  "map.clear": (t) => t.clear(),
  "array.insert": (t, o) => t.insert(o.index, o.values.map(meant)),
  "array.push": (t, o) => t.push(o.values.map(meant)),
  "array.delete": (t, o) => t.delete(o.index, o.length),
  "xml.insert": (t, o) => t.insert(o.index, o.nodes.map(meant)),
  "xml.delete": (t, o) => t.delete(o.index, o.length),
  "attr.set": (t, o) => t.setAttribute(o.key, meant(o.value)),
  "attr.remove": (t, o) => t.removeAttribute(o.key),
};

/** Indexes that an operation on a text names. */
function places({ op, index, length, delta }) {
  if (op !== "text.delta") return [index, index + (length ?? 0)];
  let at = 0;
  return delta.map((step) => (at += step.retain ?? step.delete ?? 0));
}

/** Throws, and changes nothing, if there is no such place. `whole`: nor inside a surrogate pair. */
export function perform(doc, roots, operation, whole) {
  const type = resolve(doc, roots, operation.path);
  const { op, index = 0, length = 0 } = operation;
  const named = op.startsWith("text.") ? places(operation) : [index + length];
  const reach = Math.max(...named);
  const cuts = (at) => type instanceof Y.Text && outsidePair(type, at) !== at;
  if (reach > type.length && (op !== "text.format" || index > type.length)) throw new Error("no such place");
  if (whole && named.some(cuts)) throw new Error("inside a pair");
  PERFORM[op](type, operation);
}

// ---- Choosing -----------------------------------------------------------------------------------

function pathOf(type) {
  const path = [];
  for (; type._item !== null; type = type._item.parent) {
    const { parentSub, parent } = type._item;
    if (parentSub !== null) {
      path.unshift(parentSub);
      continue;
    }
    let index = 0;
    for (let i = parent._start; i !== type._item; i = i.right) if (!i.deleted && i.countable) index += i.length;
    path.unshift(index);
  }
  for (const [name, root] of type.doc.share) if (root === type) path.unshift(name);
  return path;
}

function typesIn(type) {
  const out = [];
  const look = (item) => {
    if (!item.deleted && item.content instanceof Y.ContentType) out.push(item.content.type);
  };
  type._map.forEach(look);
  for (let i = type._start; i !== null; i = i.right) look(i);
  return out;
}

/** A type somewhere under one of the roots. */
function somewhere(random, doc, roots) {
  let type = rootOf(doc, random.pick(roots));
  for (let depth = 0; depth < 10; depth++) {
    const inner = typesIn(type);
    if (inner.length === 0 || !random.chance(0.6)) break;
    type = random.pick(inner);
  }
  return type;
}

/** `index`, moved behind a surrogate pair if it is inside one. */
function outsidePair(type, index) {
  let at = 0;
  for (const { insert } of type.toDelta()) {
    const length = typeof insert === "string" ? insert.length : 1;
    if (index > at && index < at + length) {
      const inside = /^[\ud800-\udbff][\udc00-\udfff]/.test(insert.slice(index - at - 1, index - at + 1));
      return inside ? index + 1 : index;
    }
    at += length;
  }
  return index;
}

function freshType(random, depth) {
  switch (random.below(5)) {
    case 0:
      return { $new: "text", text: text(random, 2) };
    case 1:
      return { $new: "array", values: depth > 0 ? [random.below(9), freshType(random, depth - 1), "z"] : [1, 2] };
    case 2:
      return { $new: "map", entries: depth > 0 ? { k: random.below(9), n: freshType(random, depth - 1) } : { k: "v" } };
    case 3:
      return random.chance(0.8)
        ? { $new: "map" }
        : {
            $new: "doc",
            guid: `guid ${random.below(5)}`,
            opts: random.pick([{}, { autoLoad: true }, { gc: false, meta: { m: 1 } }]),
          };
    default:
      return { $new: random.pick(["map", "array", "text"]) };
  }
}

function freshNode(random, depth) {
  switch (random.below(8)) {
    case 0:
      return { $new: "xmlhook", name: "h", entries: { v: random.below(5) } };
    case 1:
    case 2:
    case 3:
      return { $new: "xmltext", text: text(random, 2) };
    default: {
      const node = { $new: "xmlelement", name: random.pick(["p", "div", "B", "heading", "li"]) };
      if (random.chance(0.6)) node.attrs = { class: "c", [random.pick(["id", "n"])]: random.pick(["x", 5]) };
      if (depth > 0) node.children = Array.from({ length: random.below(3) }, () => freshNode(random, depth - 1));
      return node;
    }
  }
}

const aFew = (random, make) => Array.from({ length: random.between(1, 3) }, make);
const held = (random, style) => (style.nested && random.chance(0.3) ? freshType(random, 1) : value(random));
/** Yjs takes neither undefined nor a bigint as the member of a list. */
function listed(random, style) {
  const v = held(random, style);
  return v?.$y === "undefined" || v?.$y === "bigint" ? [v] : v;
}

function delta(random, style, index, length) {
  const out = [];
  if (index > 0)
    out.push(
      random.chance(0.5) ? { retain: index } : { retain: index, attributes: attributes(random, style.primitive) },
    );
  if (length > 0 && random.chance(0.5)) out.push({ delete: length });
  out.push({
    insert: text(random, 2),
    ...(random.chance(0.5) ? { attributes: attributes(random, style.primitive) } : {}),
  });
  return out;
}

function chooseText(random, type, path, style) {
  const near = (i) => Math.min(i, style.onePlace ? random.below(3) : i);
  const safe = (i) => (style.splitsPairs ? i : outsidePair(type, i));
  const index = safe(near(random.below(type.length + 1)));
  const end = safe(Math.min(type.length, index + random.between(1, 6)));
  const plain = !style.formats;
  const bare = plain || path.length === 1; // a root is untyped for us: with attributes it prints as an element
  const kind = random.weighted({
    insert: 45,
    delete: 25,
    format: plain ? 0 : 18,
    embed: plain ? 0 : 5,
    delta: plain ? 0 : 5,
    attribute: bare ? 0 : 2,
  });

  if (kind === "attribute") {
    const key = random.pick(["ta", "tb"]);
    return random.chance(0.7)
      ? { op: "attr.set", path, key, value: random.below(9) }
      : { op: "attr.remove", path, key };
  }
  if (kind === "delta") return { op: "text.delta", path, delta: delta(random, style, index, end - index) };
  if (kind === "embed") {
    const embed = random.chance(0.2)
      ? { $new: "map", entries: { in: 1 } }
      : { image: "u", n: random.pick([0, 0.5, 1e21, null]) };
    return {
      op: "text.embed",
      path,
      index,
      embed,
      ...(random.chance(0.4) ? { attrs: attributes(random, style.primitive) } : {}),
    };
  }
  if (kind === "format" && end > index)
    return { op: "text.format", path, index, length: end - index, attrs: attributes(random, style.primitive) };
  if (kind === "delete" && end > index) return { op: "text.delete", path, index, length: end - index };
  const insert = { op: "text.insert", path, index, text: style.splitsPairs ? pairs(random) : text(random) };
  if (style.formats && random.chance(0.4)) insert.attrs = random.chance(0.2) ? {} : attributes(random, style.primitive);
  return insert;
}

function chooseArray(random, type, path, style) {
  const index = random.below(type.length + 1);
  const kind = random.weighted({ insert: 45, push: 15, delete: 40 });
  if (kind === "delete" && index < type.length)
    return { op: "array.delete", path, index, length: Math.min(type.length - index, random.between(1, 3)) };
  const values = aFew(random, () => listed(random, style));
  return kind === "push" ? { op: "array.push", path, values } : { op: "array.insert", path, index, values };
}

function chooseMap(random, type, path, style) {
  const key = random.pick(random.chance(0.7) ? KEYS.slice(0, 3) : KEYS);
  const kind = random.weighted({ set: 77, delete: 20, clear: 3 });
  if (kind === "delete") return { op: "map.delete", path, key };
  if (kind === "clear") return { op: "map.clear", path };
  return { op: "map.set", path, key, value: held(random, style) };
}

function chooseXml(random, type, path) {
  if (type instanceof Y.XmlElement && random.chance(0.3)) {
    const key = random.pick(["class", "id", "n", "data-é"]);
    return random.chance(0.3)
      ? { op: "attr.remove", path, key }
      : { op: "attr.set", path, key, value: random.pick(["x", 'y"<', 3, 0.1, true, null, { o: 1 }, [1, "a"]]) };
  }
  const index = random.below(type.length + 1);
  if (index < type.length && random.chance(0.35))
    return { op: "xml.delete", path, index, length: Math.min(type.length - index, random.between(1, 2)) };
  return { op: "xml.insert", path, index, nodes: aFew(random, () => freshNode(random, 2)) };
}

/** An operation that is valid in `doc` as it is now. `style`: { formats, primitive, nested, onePlace, splitsPairs }. */
export function choose(random, doc, roots, style) {
  const type = somewhere(random, doc, roots);
  const path = pathOf(type);
  if (type instanceof Y.Text) return chooseText(random, type, path, style);
  if (type instanceof Y.Array) return chooseArray(random, type, path, style);
  if (type instanceof Y.Map) return chooseMap(random, type, path, style);
  return chooseXml(random, type, path);
}
