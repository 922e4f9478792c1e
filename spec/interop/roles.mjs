// What commenters and suggesters may write, and what not (SEC-AZ-06, SEC-AZ-07): hand-made updates by name, each sent over the
// HTTP API and over a socket to a document of its own. What may be written is there afterwards as Yjs has it; of what may not,
// nothing is to be seen.
//
//   node spec/interop/roles.mjs [WORD]      only cases whose name has the word
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Server, temporaryFolder } from "../support/node/server.mjs";
import { afterFailure, finish, note, test, until } from "../support/node/tap.mjs";
import { collab, collabSocket } from "./collab.mjs";
import { client } from "./clients.mjs";
import { collabProviders, createYjsProvider, decoding, encoding, WebSocket, Y } from "./packages.mjs";

const ONLY = process.argv[2] ?? "";
const EVE = 1; // client ids
const BEN = 2;
const ANA = 1000;

// ---- Updates by hand ----------------------------------------------------------------------------------------------------------

const text = (t) => ({ ref: 4, write: (e) => encoding.writeVarString(e, t), len: t.length });
const any = (...values) => ({ ref: 8, write: (e) => (encoding.writeVarUint(e, values.length), values.forEach((v) => encoding.writeAny(e, v))), len: values.length });
const format = (key, value) => ({ ref: 6, write: (e) => (encoding.writeVarString(e, key), encoding.writeVarString(e, typeof value === "string" ? value : JSON.stringify(value))), len: 1 });
const type = (ref) => ({ ref: 7, write: (e) => encoding.writeVarUint(e, ref), len: 1 });
const embed = (value) => ({ ref: 5, write: (e) => encoding.writeVarString(e, JSON.stringify(value)), len: 1 });
const deleted = (len) => ({ ref: 1, write: (e) => encoding.writeVarUint(e, len), len });
const gc = (len) => ({ ref: 0, gc: true, len });
const skip = (len) => ({ ref: 10, gc: true, len });

/** sections: [{ client, clock, structs: [{ content, origin, right, root, parent, key }] }], deletes: [[client, clock, len]] */
function raw(sections, deletes = []) {
  const e = encoding.createEncoder();
  const id = ([c, k]) => (encoding.writeVarUint(e, c), encoding.writeVarUint(e, k));
  encoding.writeVarUint(e, sections.length);
  for (const { client: c, clock, structs } of sections) {
    encoding.writeVarUint(e, structs.length);
    encoding.writeVarUint(e, c);
    encoding.writeVarUint(e, clock);
    for (const { content, origin, right, root, parent, key } of structs) {
      const info = content.ref | (origin ? 0x80 : 0) | (right ? 0x40 : 0) | (key !== undefined ? 0x20 : 0);
      encoding.writeUint8(e, info);
      if (content.gc) {
        encoding.writeVarUint(e, content.len);
        continue;
      }
      if (origin) id(origin);
      if (right) id(right);
      if (!origin && !right) {
        encoding.writeVarUint(e, root !== undefined ? 1 : 0);
        if (root !== undefined) encoding.writeVarString(e, root);
        else id(parent);
        if (key !== undefined) encoding.writeVarString(e, key);
      }
      content.write(e);
    }
  }
  const clients = [...new Set(deletes.map(([c]) => c))];
  encoding.writeVarUint(e, clients.length);
  for (const c of clients) {
    const ranges = deletes.filter(([of]) => of === c);
    encoding.writeVarUint(e, c);
    encoding.writeVarUint(e, ranges.length);
    for (const [, clock, len] of ranges) encoding.writeVarUint(e, clock), encoding.writeVarUint(e, len);
  }
  return encoding.toUint8Array(e);
}

// ---- The document -------------------------------------------------------------------------------------------------------------

const own = { author: "ana" };
const bens = { author: "ben" };

function fill(doc, write) {
  doc.transact(() => write(doc));
  return doc;
}

const map = (entries) => new Y.Map(Object.entries(entries));

/** What stands there before: by eve, who is an editor, and by ben. */
function base() {
  const eve = new Y.Doc();
  eve.clientID = EVE;
  fill(eve, () => {
    eve.getText("text").insert(0, "Hello world");
    eve.getText("text").format(6, 5, { bold: true });
    const p = new Y.XmlElement("p");
    p.setAttribute("align", "left");
    p.insert(0, [new Y.XmlText("para one")]);
    const q = new Y.XmlElement("p");
    q.insert(0, [new Y.XmlText("two")]);
    eve.getXmlFragment("content").insert(0, [p, q]);
    eve.getMap("meta").set("title", "T");
    eve.getMap("meta").set("nested", map({ a: 1 }));
    eve.getMap("meta").set("words", new Y.Text("words"));
    eve.getArray("list").insert(0, [1, 2, map({ done: false })]);
  });
  const ben = new Y.Doc();
  ben.clientID = BEN;
  Y.applyUpdate(ben, Y.encodeStateAsUpdate(eve));
  fill(ben, () => {
    ben.getMap("comments").set("ben", map({ t1: map({ text: "hi" }) }));
    ben.getMap("comments").set("ana", map({ t1: map({ text: "mine" }), body: new Y.Text("body") }));
    ben.getMap("suggestions").set("ben", map({ s1: "x" }));
    ben.getMap("suggestions").set("ana", map({ s1: "y" }));
    const t = ben.getText("text");
    t.insert(11, "BEN", { insertion: bens, bold: null });
    t.insert(14, "ANA", { insertion: own, bold: null });
    t.insert(17, " end", { insertion: null, bold: null });
    t.format(0, 2, { deletion: bens });
    t.format(3, 2, { deletion: own });
  });
  // [He](del ben) l [lo](del ana) _ **world** [BEN](ins ben) [ANA](ins ana) _end
  return Y.encodeStateAsUpdate(ben);
}
const BASE = base();

/** What people see of a state. */
function seen(update, ...more) {
  const doc = new Y.Doc();
  for (const one of [update, ...more]) Y.applyUpdate(doc, one);
  const show = (v) =>
    v instanceof Y.Text ? v.toDelta().map((op) => ({ ...op, insert: show(op.insert) })) : v instanceof Y.XmlElement ? { name: v.nodeName, is: v.getAttributes(), has: v.toArray().map(show) }
    : v instanceof Y.Map ? Object.fromEntries([...v.entries()].sort().map(([k, x]) => [k, show(x)])) : v instanceof Y.Array ? v.toArray().map(show) : v instanceof Y.Doc ? { doc: v.guid } : v;
  const lists = Object.fromEntries(["list", "extra"].map((n) => [n, show(doc.getArray(n))]));
  const maps = Object.fromEntries(["meta", "comments", "suggestions"].map((n) => [n, show(doc.getMap(n))]));
  // A root of comments that somebody writes a list into shows as a list.
  const hidden = ["comments", "suggestions"].map((n) => [...listOf(doc.getMap(n))]);
  const sorted = (v) => (v === null || typeof v !== "object" || Array.isArray(v) ? v : Object.fromEntries(Object.keys(v).sort().map((k) => [k, v[k]])));
  const out = JSON.stringify({ text: show(doc.getText("text")), other: show(doc.getText("other")), content: doc.getXmlFragment("content").toArray().map(show), lists, maps, hidden }, (_, v) => sorted(v));
  doc.destroy();
  return out;
}

function* listOf(shared) {
  for (let item = shared._start; item; item = item.right) if (!item.deleted) yield item.content.getContent().map(String);
}

/** An update of ana's, who knows all of BASE. */
function anas(write, { gc: collects = true, id = ANA } = {}) {
  const doc = new Y.Doc({ gc: collects });
  Y.applyUpdate(doc, BASE);
  doc.clientID = id;
  const before = Y.encodeStateVector(doc);
  const updates = [];
  doc.on("update", (u) => updates.push(u));
  write(doc);
  const update = updates.length ? Y.mergeUpdates(updates) : Y.encodeStateAsUpdate(doc, before);
  doc.destroy();
  return update;
}

/** The id of the unit at `index` of the text. */
function unitOf(shared, index) {
  for (let item = shared._start; item; item = item.right) {
    if (item.deleted || !item.countable) continue;
    if (index < item.length) return [item.id.client, item.id.clock + index];
    index -= item.length;
  }
  throw new Error("no such unit");
}
const look = (question) => {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, BASE);
  const answer = question(doc);
  doc.destroy();
  return answer;
};
const unit = (index) => look((doc) => unitOf(doc.getText("text"), index));
const holder = (find) => look((doc) => { const { client: c, clock } = find(doc)._item.id; return [c, clock]; });
const formats = (key) => look((doc) => { const all = []; for (let i = doc.getText("text")._start; i; i = i.right) if (!i.deleted && i.content.key === key) all.push([i.id.client, i.id.clock, i.content.value]); return all; });
const states = look((doc) => Object.fromEntries([...doc.store.clients.keys()].map((c) => [c, Y.getState(doc.store, c)])));
const by = (structs, deletes = [], clock = 0, c = ANA) => raw([{ client: c, clock, structs }], deletes);
const T = (doc) => doc.getText("text");
const X = (doc) => doc.getXmlFragment("content");
const M = (doc) => doc.getMap("meta");
const C = (doc) => doc.getMap("comments");
const S = (doc) => doc.getMap("suggestions");

// ---- Cases --------------------------------------------------------------------------------------------------------------------

const cases = [];
/** `then`: [update of eve, …] sent after it. `keeps`: what of it may be there, as an update. */
const add = (role, allowed, name, make, more = {}) => cases.push({ role, allowed, name, update: typeof make === "function" ? anas(make) : make, ...more });

// Neither of the two.
for (const role of ["commenter", "suggester"]) {
  const no = (name, make, more) => add(role, false, name, make, more);
  no("text typed at the start", (d) => T(d).insert(0, "x"));
  no("text typed in the middle", (d) => T(d).insert(5, "x"));
  no("text typed at the end", (d) => T(d).insert(T(d).length, "x"));
  no("text deleted", (d) => T(d).delete(6, 3));
  no("all text deleted", (d) => T(d).delete(0, T(d).length));
  no("text replaced", (d) => (T(d).delete(6, 5), T(d).insert(6, "earth")));
  no("text made bold", (d) => T(d).format(0, 5, { bold: true }));
  no("bold taken away", (d) => T(d).format(6, 5, { bold: null }));
  no("an embed", (d) => T(d).insertEmbed(4, { image: "x" }));
  no("a new root of text", (d) => d.getText("other").insert(0, "x"));
  no("text in a paragraph", (d) => X(d).get(0).get(0).insert(0, "x"));
  no("text in a paragraph deleted", (d) => X(d).get(0).get(0).delete(0, 4));
  no("a new paragraph", (d) => X(d).insert(1, [new Y.XmlElement("p")]));
  no("a new text among the paragraphs", (d) => X(d).insert(0, [new Y.XmlText("x")]));
  no("a paragraph deleted", (d) => X(d).delete(0, 1));
  no("all paragraphs deleted", (d) => X(d).delete(0, 2));
  no("a paragraph moved", (d) => (X(d).delete(0, 1), X(d).insert(1, [new Y.XmlElement("p")])));
  no("an attribute set", (d) => X(d).get(0).setAttribute("align", "right"));
  no("an attribute removed", (d) => X(d).get(0).removeAttribute("align"));
  no("a new attribute called like a mark", (d) => X(d).get(1).setAttribute("insertion", own));
  no("a key set", (d) => M(d).set("new", 1));
  no("a key overwritten", (d) => M(d).set("title", "mine"));
  no("a key overwritten by a type", (d) => M(d).set("title", map({ a: 1 })));
  no("a key deleted", (d) => M(d).delete("title"));
  no("a key of a nested map", (d) => M(d).get("nested").set("a", 2));
  no("a nested map replaced", (d) => M(d).set("nested", map({})));
  no("a key called like a place of one's own", (d) => M(d).set("comments/ana/x", 1));
  no("text in a map", (d) => M(d).get("words").insert(0, "x"));
  no("an element of a list", (d) => d.getArray("list").insert(1, ["x"]));
  no("an element of a list deleted", (d) => d.getArray("list").delete(0, 1));
  no("a key of an element of a list", (d) => d.getArray("list").get(2).set("done", true));
  no("a new list", (d) => d.getArray("extra").insert(0, [1]));
  no("a subdocument in a map", (d) => M(d).set("sub", new Y.Doc({ guid: "sub" })));
  no("a subdocument in a list", (d) => d.getArray("list").insert(0, [new Y.Doc({ guid: "sub" })]));
  no("another's comment overwritten", (d) => C(d).get("ben").get("t1").set("text", "forged"));
  no("another's comment deleted", (d) => C(d).get("ben").delete("t1"));
  no("a thread under another's name", (d) => C(d).get("ben").set("t2", map({ text: "forged" })));
  no("all of another's comments deleted", (d) => C(d).delete("ben"));
  no("another's comments replaced by a type", (d) => C(d).set("ben", map({ t1: map({ text: "forged" }) })));
  for (const key of ["ANA", "ana ", "an", "anas", "ana/x", "ana~1x", "", "**", "*", "{user}", "\u0430na"]) no(`comments under the name "${key}"`, (d) => C(d).set(key, map({ t: "x" })));
  no("a list in the root of comments", (d) => d.getArray("comments").insert(0, ["x"]), {});
  no("another's suggestions", (d) => S(d).get("ben").set("s2", "forged"));
  no("another's suggestions deleted", (d) => S(d).delete("ben"));
  const mine = { keeps: anas((d) => (C(d).delete("ana"), role === "suggester" && S(d).delete("ana"))) };
  no("everything deleted by ranges, but one's own", by([], [[EVE, 0, states[EVE]], [BEN, 0, states[BEN]]]), mine);
  no("everything and what is yet to come deleted by ranges", by([], [[EVE, 0, 1_000_000], [BEN, 0, 1_000_000]]), mine);
  no("single units deleted by ranges that overlap", by([], [[...unit(6), 2], [...unit(7), 2]]));
  no("text behind a unit of the text, without a parent", by([{ content: text("x"), origin: unit(7) }]));
  no("text before a unit of the text, without a parent", by([{ content: text("x"), right: unit(7) }]));
  no("text between units of two types", by([{ content: text("x"), origin: unit(7), right: holder((d) => C(d).get("ana")) }]));
  no("a value behind another's comment: it takes that key", by([{ content: any("forged"), origin: look((d) => { const { client: c, clock } = C(d).get("ben").get("t1")._map.get("text").id; return [c, clock]; }) }]));
  no("a value behind a paragraph's attribute", by([{ content: any("right"), origin: look((d) => { const { client: c, clock } = X(d).get(0)._map.get("align").id; return [c, clock]; }) }]));
  no("a value in another's comment by its id", by([{ content: any("forged"), parent: holder((d) => C(d).get("ben").get("t1")), key: "text" }]));
  no("a value in a paragraph by its id", by([{ content: any("right"), parent: holder((d) => X(d).get(0)), key: "align" }]));
  no("text in a paragraph by its id", by([{ content: type(6), parent: holder((d) => X(d).get(0)) }]));
  no("a value that is deleted at once, in the place of another", by([{ content: any("x"), root: "meta", key: "title" }], [[ANA, 0, 1]]));
  no("deleted content in the place of a value", by([{ content: deleted(1), root: "meta", key: "title" }]));
  no("collected structs, then text", by([{ content: gc(5) }, { content: text("x"), root: "text" }]));
  no("what waits for another author's units", by([{ content: text("x"), origin: [77, 0] }]), { then: [by([{ content: text("!"), root: "text" }], [], 0, 77)] });
  no("what waits for its own earlier units", raw([{ client: ANA, clock: 5, structs: [{ content: text("x"), origin: [ANA, 4] }] }]));
  no("what waits behind a hole", raw([{ client: ANA, clock: 0, structs: [{ content: skip(3) }, { content: text("x"), root: "text" }] }]));
  no("a type's content before its type", raw([{ client: ANA, clock: 0, structs: [{ content: text("x"), parent: [78, 0] }] }]), { then: [by([{ content: type(2), root: "meta", key: "late" }], [], 0, 78)] });
  no("a delete of what has not come yet", by([], [[79, 0, 1]]), { then: [by([{ content: text("!"), root: "text" }], [], 0, 79)] });
  no("a forbidden edit merged with an allowed one", (d) => (C(d).get("ana").set("ok", 1), M(d).set("title", "x")), { keeps: anas((d) => C(d).get("ana").set("ok", 1)) });
  no("an allowed edit, then a forbidden delete", (d) => (C(d).get("ana").set("ok", 1), T(d).delete(6, 2)), { keeps: anas((d) => C(d).get("ana").set("ok", 1)) });
  no("the same under a second client id", anas((d) => T(d).insert(2, "x"), { id: 1001 }));

  const yes = (name, make, more) => add(role, true, name, make, more);
  yes("a thread of one's own", (d) => C(d).get("ana").set("t2", map({ text: "new" })));
  yes("text of an own comment overwritten", (d) => C(d).get("ana").get("t1").set("text", "better"));
  yes("an own comment deleted", (d) => C(d).get("ana").delete("t1"));
  yes("all own comments deleted", (d) => C(d).delete("ana"));
  yes("all own comments replaced", (d) => C(d).set("ana", map({ t9: map({ text: "anew" }) })));
  yes("typing in an own comment", (d) => C(d).get("ana").get("body").insert(4, " and soul"));
  yes("deleting in an own comment", (d) => C(d).get("ana").get("body").delete(0, 2));
  yes("formats in an own comment", (d) => C(d).get("ana").get("body").format(0, 4, { bold: true }));
  yes("lists, bytes and deep maps in an own comment", (d) => { const l = new Y.Array(); C(d).get("ana").set("l", l); l.insert(0, [1, new Uint8Array([1]), map({ m: map({ n: 1 }) })]); });
  yes("paragraphs in an own comment", (d) => { const x = new Y.XmlFragment(); C(d).get("ana").set("x", x); x.insert(0, [new Y.XmlElement("p")]); });
  yes("a subdocument in an own comment", (d) => C(d).get("ana").set("sub", new Y.Doc({ guid: "sub" })));
  yes("odd keys in one's own", (d) => C(d).get("ana").set("a/b~c", "x"));
  yes("what came and went", (d) => (C(d).get("ana").set("x", map({ y: map({}) })), C(d).get("ana").delete("x")));
  yes("typing that came and went elsewhere", (d) => d.transact(() => (T(d).insert(8, "xx"), T(d).delete(8, 2))));
  yes("several updates merged", (d) => { for (let i = 0; i < 5; i++) C(d).get("ana").set(`t${i}`, map({ text: String(i) })); });
  yes("everything that is known already", BASE);
  yes("everything that is known already, and an own comment", Y.mergeUpdates([BASE, anas((d) => C(d).get("ana").set("t2", "x"))]));
  yes("a delete of what is deleted", by([], []));
  yes("an own value by its id", by([{ content: any("x"), parent: holder((d) => C(d).get("ana").get("t1")), key: "more" }]));
}

const commenterNo = (name, make) => add("commenter", false, name, make);
commenterNo("an own insertion in the text", (d) => T(d).insert(5, "x", { insertion: own }));
commenterNo("an own deletion mark in the text", (d) => T(d).format(6, 2, { deletion: own }));
commenterNo("an own suggestion", (d) => S(d).get("ana").set("s2", "x"));

const no = (name, make, more) => add("suggester", false, name, make, more);
const yes = (name, make, more) => add("suggester", true, name, make, more);
const mark = { insertion: own };
no("text marked as another's", (d) => T(d).insert(5, "x", { insertion: bens }));
no("text with a mark without an author", (d) => T(d).insert(5, "x", { insertion: { id: 1 } }));
no("text with a mark that is true", (d) => T(d).insert(5, "x", { insertion: true }));
no("text with a mark that is the name", (d) => T(d).insert(5, "x", { insertion: "ana" }));
no("text with a mark in a list", (d) => T(d).insert(5, "x", { insertion: [own] }));
no("text with an author in an author", (d) => T(d).insert(5, "x", { insertion: { author: own } }));
no("text with an author of other case", (d) => T(d).insert(5, "x", { insertion: { author: "Ana" } }));
no("text with only a deletion mark", (d) => T(d).insert(5, "x", { deletion: own }));
no("text with a mark of another name", (d) => T(d).insert(5, "x", { insertion2: own }));
no("text with two authors, the last another's", by([
  { content: format("insertion", '{"author":"ana","author":"ben"}'), origin: unit(7), right: unit(8) },
  { content: text("x"), origin: [ANA, 0], right: unit(8) },
  { content: format("insertion", null), origin: [ANA, 1], right: unit(8) }]));
no("text inside another's insertion", (d) => T(d).insert(12, "x"));
no("text inside another's insertion, bold", (d) => T(d).insert(12, "x", { insertion: bens, bold: true }));
no("text that leaves the own insertion", (d) => T(d).insert(17, "x", { insertion: null }));
no("half of it marked", (d) => d.transact(() => (T(d).insert(5, "x", mark), T(d).insert(6, "y", { insertion: null }))));
no("another's text marked as one's own", (d) => T(d).format(6, 5, { insertion: own }));
no("another's insertion taken over", (d) => T(d).format(11, 3, { insertion: own }));
no("another's insertion accepted", (d) => T(d).format(11, 3, { insertion: null }));
no("another's insertion rejected", (d) => T(d).delete(11, 3));
no("the own insertion accepted", (d) => T(d).format(14, 3, { insertion: null }));
no("the own insertion given to another", (d) => T(d).format(14, 3, { insertion: bens }));
no("the own deletion accepted", (d) => T(d).delete(3, 2));
no("another's deletion accepted", (d) => T(d).delete(0, 2));
no("another's deletion mark taken away", (d) => T(d).format(0, 2, { deletion: null }));
no("another's deletion mark taken over", (d) => T(d).format(0, 2, { deletion: own }));
no("the own deletion mark given to another", (d) => T(d).format(3, 2, { deletion: bens }));
no("a deletion mark in another's name", (d) => T(d).format(6, 2, { deletion: bens }));
no("a deletion mark without an author", (d) => T(d).format(6, 2, { deletion: true }));
no("bold along with a deletion mark", (d) => T(d).format(2, 1, { deletion: own, bold: true }));
no("deleted from the own insertion into what follows", (d) => T(d).delete(15, 4));
no("deleted from another's insertion into the own", (d) => T(d).delete(12, 3));
no("a mark that is opened and not closed", by([{ content: format("insertion", own), origin: unit(5), right: unit(6) }]));
no("a mark that ends behind another's text", by([
  { content: format("insertion", own), origin: unit(5), right: unit(6) },
  { content: format("insertion", null), origin: unit(8), right: unit(9) }]));
no("a closing that ends another's mark early", by([{ content: format("insertion", null), origin: unit(11), right: unit(12) }]));
no("an end that another's mark has taken away", by([], formats("insertion").filter(([, , v]) => v === null || v.author === "ana").map(([c, k]) => [c, k, 1])));
no("the begin of the own mark taken away", by([], formats("insertion").filter(([, , v]) => v?.author === "ana").map(([c, k]) => [c, k, 1])));
no("the begin of bold taken away", by([], formats("bold").slice(0, 1).map(([c, k]) => [c, k, 1])));
no("all formats taken away", by([], ["bold", "insertion", "deletion"].flatMap(formats).map(([c, k]) => [c, k, 1])));
no("a type inside the own insertion", by([{ content: type(2), origin: unit(14), right: unit(15) }]));
no("a list's values inside the own insertion", by([{ content: any(1, 2), origin: unit(14), right: unit(15) }]));
no("a subdocument inside the own insertion", by([{ content: { ref: 9, len: 1, write: (e) => (encoding.writeVarString(e, "sub"), encoding.writeAny(e, {})) }, origin: unit(14), right: unit(15) }]));
no("text whose place is elsewhere than it says", by([{ content: text("x"), root: "text" }]));
no("text that says the end and lands anywhere", by([{ content: text("x"), origin: unit(0), right: unit(20) }]));
no("a marked text that would have to wait", by([{ content: format("insertion", own), origin: [77, 0] }, { content: text("x"), origin: [ANA, 0] }, { content: format("insertion", null), origin: [ANA, 1] }]), { then: [by([{ content: text("!"), root: "text" }], [], 0, 77)] });
no("an element with the mark as attribute", (d) => { const p = new Y.XmlElement("p"); p.setAttribute("insertion", own); X(d).insert(1, [p]); });
no("an attribute of a text", (d) => X(d).get(0).get(0).setAttribute("insertion", own));
no("seventeen formats at once", (d) => T(d).insert(5, "x", Object.fromEntries([["insertion", own], ...Array.from({ length: 17 }, (_, i) => [`f${i}`, 1])])));
no("a good suggestion in one text, a bad one in another", (d) => (T(d).insert(5, "x", mark), X(d).get(1).get(0).insert(0, "y")), { keeps: anas((d) => T(d).insert(5, "x", mark)) });

yes("marked text at the start", (d) => T(d).insert(0, "x", { insertion: own, deletion: null }));
yes("marked text in the middle", (d) => T(d).insert(2, "abc", { insertion: own, deletion: null }));
yes("marked text at the end", (d) => T(d).insert(T(d).length, "x", mark));
yes("marked text with more members", (d) => T(d).insert(18, "x", { insertion: { id: "i1", author: "ana", at: 5, more: { a: [1] } } }));
yes("typing on in the own insertion", (d) => T(d).insert(15, "more"));
yes("typing on, letter by letter", (d) => { for (let i = 0; i < 5; i++) T(d).insert(18 + i, "abcde"[i], mark); });
yes("deleting in the own insertion", (d) => T(d).delete(15, 1));
yes("much of the own insertion deleted", (d) => T(d).delete(14, 2));
no("all of it, where Yjs takes the end of another's mark along", (d) => T(d).delete(14, 3));
yes("bold in the own insertion", (d) => T(d).format(14, 3, { bold: true }));
yes("an embed in the own insertion", (d) => T(d).insertEmbed(15, { image: "x" }, mark));
yes("another id for the own insertion", (d) => T(d).format(14, 3, { insertion: { author: "ana", id: 2 } }));
yes("a deletion mark", (d) => T(d).format(8, 2, { deletion: own }));
yes("a deletion mark on another's insertion", (d) => T(d).format(11, 3, { deletion: own }));
yes("a deletion mark across bold and plain", (d) => T(d).format(5, 4, { deletion: own }));
yes("the own deletion mark taken away", (d) => T(d).format(3, 2, { deletion: null }));
yes("part of the own deletion mark taken away", (d) => T(d).format(3, 1, { deletion: null }));
yes("a replacement", (d) => d.transact(() => (T(d).format(6, 5, { deletion: own }), T(d).insert(11, "earth", { insertion: own, deletion: null, bold: null }))));
yes("marked text in a paragraph", (d) => X(d).get(0).get(0).insert(4, "x", mark));
yes("a deletion mark in a paragraph", (d) => X(d).get(0).get(0).format(0, 4, { deletion: own }));
yes("marked text in a map's text", (d) => M(d).get("words").insert(0, "x", mark));
yes("marked text in a root that is new", (d) => d.getText("other").insert(0, "x", mark));
yes("marked text beside another's", (d) => T(d).insert(11, "x", { insertion: own, bold: null }));
yes("text that came and went without a mark", (d) => d.transact(() => (T(d).insert(8, "xx"), T(d).delete(8, 2))));
yes("suggestions in two texts", (d) => (T(d).insert(18, "x", mark), X(d).get(0).get(0).insert(0, "y", mark)));
yes("an own suggestion by value", (d) => S(d).get("ana").set("s2", { path: "text", text: "x" }));
yes("an own suggestion deleted", (d) => S(d).get("ana").delete("s1"));
yes("several suggestions merged", (d) => { T(d).insert(18, "a", mark); T(d).format(6, 2, { deletion: own }); T(d).delete(18, 1); T(d).insert(0, "b", { insertion: own, deletion: null }); });
yes("marked text that somebody else has typed beside meanwhile", (d) => T(d).insert(8, "mine", mark), { first: [anas((d) => T(d).insert(8, "eves"), { id: 90 }), anas((d) => T(d).insert(8, "bens"), { id: 5000 })] });
yes("a deletion mark over what somebody else has typed meanwhile", (d) => T(d).format(6, 1, { deletion: own }), { first: [anas((d) => T(d).insert(9, "eves"), { id: 90 })] });
no("a deletion mark that another's bold has moved into", (d) => T(d).insert(8, "mine"), { first: [anas((d) => T(d).insert(8, "eves", mark), { id: 90 })] });

// ---- The server ---------------------------------------------------------------------------------------------------------------

const plugins = temporaryFolder();
mkdirSync(join(plugins, "quiet"));
writeFileSync(join(plugins, "quiet", "plugin.lua"), "return { name = 'quiet', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {} } }");
writeFileSync(join(plugins, "quiet", "init.lua"), "local P = {}\nfunction P:authenticate() return nil end\nreturn P");
const server = await new Server({ config: "auth = { mode = 'plugins' }\nplugins = { quiet = {} }\n", args: ["--plugins", plugins] }).start();
afterFailure(() => note(server.tail()));
const tokens = {};
for (const [user, role] of [["eve", "editor"], ["ana", "commenter"], ["ana", "suggester"]])
  tokens[role] = execFileSync(server.bin, ["token", "--org", "default", "--user", user, "--role", role, "--data", server.data], { encoding: "utf8" }).trim();

async function post(name, update, role, v2 = false) {
  const answer = await fetch(`${server.url}/api/v1/orgs/default/docs/${name}/updates${v2 ? "?format=v2" : ""}`, {
    method: "POST", headers: { Authorization: `Bearer ${tokens[role]}`, "Content-Type": "application/octet-stream" }, body: update });
  return answer.status;
}

async function stateOf(name) {
  const answer = await fetch(`${server.url}/api/v1/orgs/default/docs/${name}/state`, { headers: { Authorization: `Bearer ${tokens.editor}` } });
  if (answer.status !== 200) throw new Error(`state: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function prepare(name, it) {
  for (const update of [BASE, ...(it.first ?? [])]) {
    const status = await post(name, update, "editor");
    if (status !== 200) throw new Error(`${name}: the editor got ${status}`);
  }
}

/** Is there what has to be there? */
async function judge(name, it) {
  for (const update of it.then ?? []) await post(name, update, "editor");
  const before = [BASE, ...(it.first ?? [])];
  const has = seen(await stateOf(name));
  const wanted = seen(...before, ...(it.allowed ? [it.update] : it.keeps ? [it.keeps] : []), ...(it.then ?? []));
  if (has !== wanted) throw new Error(`${name}\nis      ${has}\nshould  ${wanted}`);
}

/** A frame over a socket of y-websocket, by hand: what a client could send that is no library. Answers when it was looked at. */
function frame(name, update, role) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${server.sync}/${name}?token=${tokens[role]}`, { perMessageDeflate: false });
    const e = encoding.createEncoder();
    encoding.writeVarUint(e, 0), encoding.writeVarUint(e, 2), encoding.writeVarUint8Array(e, update);
    const step1 = encoding.createEncoder();
    encoding.writeVarUint(step1, 0), encoding.writeVarUint(step1, 0), encoding.writeVarUint8Array(step1, new Uint8Array([0]));
    socket.on("open", () => (socket.send(encoding.toUint8Array(e)), socket.send(encoding.toUint8Array(step1))));
    socket.on("message", (data) => {
      const d = decoding.createDecoder(new Uint8Array(data));
      if (decoding.readVarUint(d) === 0 && decoding.readVarUint(d) === 1) socket.close();
    });
    socket.on("close", resolve);
    socket.on("error", reject);
  });
}

let number = 0;
for (const role of ["commenter", "suggester"]) {
  const all = cases.filter((it) => it.role === role && it.name.includes(ONLY));
  for (const allowed of [false, true]) {
    const some = all.filter((it) => it.allowed === allowed);
    await test(`${role}: ${some.length} updates that ${allowed ? "may" : "may not"} be written, over the API, V1 and V2, and over a socket`, async () => {
      const wrong = [];
      for (const it of some) {
        const ways = { v1: (name) => post(name, it.update, role), socket: (name) => frame(name, it.update, role) };
        let v2 = null;
        try { v2 = Y.convertUpdateFormatV1ToV2(it.update); } catch {} // Yjs cannot say all of it
        if (v2) ways.v2 = (name) => post(name, v2, role, true);
        for (const [way, send] of Object.entries(ways)) {
          const name = `case-${++number}`;
          try {
            await prepare(name, it);
            await send(name);
            await judge(name, it);
          } catch (error) {
            wrong.push(`${it.name} (${way}): ${error.message}`);
          }
        }
      }
      if (wrong.length) throw new Error(`${wrong.length} of ${some.length}:\n${wrong.join("\n")}`);
    }, { deadline_ms: 240_000 });
  }
}

if (!ONLY) {
  await test("there are sixty of each, and more that may not than may", () => {
    for (const role of ["commenter", "suggester"]) {
      const all = cases.filter((it) => it.role === role);
      note(`${role}: ${all.length}, of them refused: ${all.filter((it) => !it.allowed).length}`);
      if (all.length < 60) throw new Error("too few");
    }
  });

  // Every dialect: a comment and a suggestion arrive, what was refused goes back, and the connection stays.
  const dialects = {
    "y-websocket": (name, doc) => client(server, name, { doc, params: { token: tokens.suggester } }),
    "y-sweet": (name, doc) => {
      const token = { url: `${server.sync}`, baseUrl: server.url, docId: name, token: tokens.suggester, authorization: "full" };
      const provider = createYjsProvider(doc, name, async () => token, { WebSocketPolyfill: WebSocket, showDebuggerLink: false });
      return { synced: () => provider.status === "connected", close: () => provider.destroy() };
    },
  };
  for (const library of collabProviders)
    dialects[library.name] = (name, doc) => {
      const shared = collabSocket(server, library);
      const it = collab(shared, name, { doc, token: tokens.suggester });
      return { synced: it.synced, close: () => (it.close(), shared.close()) };
    };
  for (const [dialect, connect] of Object.entries(dialects)) {
    await test(`${dialect}: a suggester suggests and comments, and sees go back what is refused`, async () => {
      const name = `dialect-${++number}`;
      await prepare(name, {});
      const doc = new Y.Doc();
      const it = connect(name, doc);
      await until(() => it.synced() && T(doc).length > 0, "synced");
      T(doc).insert(18, "fine", mark);
      C(doc).get("ana").set("t2", "ok");
      await until(async () => seen(await stateOf(name)) === seen(Y.encodeStateAsUpdate(doc)), "both are there");
      const before = seen(Y.encodeStateAsUpdate(doc));
      T(doc).delete(6, 3);
      M(doc).set("title", "forged");
      await until(() => seen(Y.encodeStateAsUpdate(doc)) === before, "it has gone back");
      T(doc).insert(19, "!");
      await until(async () => seen(await stateOf(name)) === seen(Y.encodeStateAsUpdate(doc)), "and goes on");
      if (!T(doc).toString().includes("f!ine")) throw new Error(T(doc).toString());
      it.close();
    });
  }
}

await test("the server drains and exits 0", () => server.stop());
finish();
