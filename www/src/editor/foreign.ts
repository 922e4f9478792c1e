/*
 * What a document has that the editor's schema does not know: made by another editor, or by hand.
 *
 * The binding between Yjs and ProseMirror deletes what it cannot show, for everybody. So whoever finds something foreign
 * has to let go of the document before the binding looks at it: `watchForeign` is asked first because it came first.
 */
import type { ContentMatch, MarkType, NodeType, Schema } from "@tiptap/pm/model";
import * as Y from "yjs";

/** Formats that may stand side by side carry a hash behind their name. */
const HASHED = /--[a-zA-Z0-9+/=]{8}$/;

type Parent = Y.XmlFragment | Y.XmlElement;
type Found = Set<string>;

/** Names of what is foreign in all of `content`; costs its size. */
export function foreignParts(content: Y.XmlFragment, schema: Schema): string[] {
  const found: Found = new Set();
  lookAtChildren(content, content.toArray(), schema, found);
  return [...found];
}

/**
 * Calls `onForeign` once, within the transaction that brings something foreign. Costs what the transaction brings.
 * To be called before a binding watches `content`. Answers what ends the watch.
 */
export function watchForeign(content: Y.XmlFragment, schema: Schema, onForeign: (names: string[]) => void): () => void {
  const watch = (events: Y.YEvent<Y.AbstractType<unknown>>[]) => {
    const found: Found = new Set();
    for (const event of events) lookAtEvent(event, schema, found);
    if (found.size === 0) return;
    content.unobserveDeep(watch as never);
    onForeign([...found]);
  };
  content.observeDeep(watch as never);
  return () => content.unobserveDeep(watch as never);
}

function lookAtEvent(event: Y.YEvent<Y.AbstractType<unknown>>, schema: Schema, found: Found): void {
  const target: unknown = event.target;
  if (target instanceof Y.XmlText) lookAtDelta(event.delta, parentType(target, schema), schema, found);
  else if (target instanceof Y.XmlElement || target instanceof Y.XmlFragment) {
    if (target instanceof Y.XmlElement) lookAtAttributes(target, schema, found);
    const added: unknown[] = [];
    for (const part of event.delta) if (Array.isArray(part.insert)) added.push(...(part.insert as unknown[]));
    lookAtChildren(target, added, schema, found);
  } else found.add("data");
}

/** Deep below `parent`, without recursion: how deep it is, others decide. */
function lookAtChildren(parent: Parent, children: unknown[], schema: Schema, found: Found): void {
  const open = children.map((child) => ({ parent, child }));
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { child } = at;
    const outer = typeOf(at.parent, schema);
    if (child instanceof Y.XmlText) {
      if (outer !== undefined && !mayHold(outer, schema.nodes["text"]!)) found.add("text");
      lookAtDelta(child.toDelta() as Y.YEvent<Y.XmlText>["delta"], outer, schema, found);
    } else if (child instanceof Y.XmlElement) {
      const type = typeOf(child, schema);
      if (type === undefined || (outer !== undefined && !mayHold(outer, type))) found.add(child.nodeName);
      lookAtAttributes(child, schema, found);
      for (const inner of child.toArray() as unknown[]) open.push({ parent: child, child: inner });
    } else found.add("data");
  }
}

function lookAtAttributes(element: Y.XmlElement, schema: Schema, found: Found): void {
  const known = typeOf(element, schema)?.spec.attrs ?? {};
  for (const [key, value] of Object.entries(element.getAttributes())) {
    if (value !== null && value !== undefined && !Object.hasOwn(known, key)) found.add(key);
  }
}

function lookAtDelta(delta: Y.YEvent<Y.XmlText>["delta"], outer: NodeType | undefined, schema: Schema, found: Found): void {
  for (const { insert, attributes } of delta) {
    if (insert !== undefined && typeof insert !== "string") found.add("data");
    for (const [key, value] of Object.entries(attributes ?? {})) {
      const name = key.replace(HASHED, "");
      const mark: MarkType | undefined = Object.hasOwn(schema.marks, name) ? schema.marks[name] : undefined;
      if (value !== null && (mark === undefined || outer?.allowsMarkType(mark) === false)) found.add(name);
    }
  }
}

function parentType(text: Y.XmlText, schema: Schema): NodeType | undefined {
  const { parent } = text;
  return parent instanceof Y.XmlFragment ? typeOf(parent, schema) : undefined;
}

/** undefined: an element of a kind that is not known. */
function typeOf(parent: Parent, schema: Schema): NodeType | undefined {
  if (!(parent instanceof Y.XmlElement)) return schema.topNodeType;
  return Object.hasOwn(schema.nodes, parent.nodeName) ? schema.nodes[parent.nodeName] : undefined;
}

const holds = new WeakMap<NodeType, Set<NodeType>>();

/** Whether `inner` may stand somewhere in `outer`. What is too little or in another order comes from writing at once, and is healed. */
function mayHold(outer: NodeType, inner: NodeType): boolean {
  let known = holds.get(outer);
  if (known === undefined) {
    known = new Set();
    const seen = new Set<ContentMatch>();
    const open = [outer.contentMatch];
    for (let match = open.pop(); match !== undefined; match = open.pop()) {
      if (seen.has(match)) continue;
      seen.add(match);
      for (let i = 0; i < match.edgeCount; i += 1) {
        known.add(match.edge(i).type);
        open.push(match.edge(i).next);
      }
    }
    holds.set(outer, known);
  }
  return known.has(inner);
}

/** The document as lines of text, for whoever cannot be shown more. */
export function plainLines(content: Y.XmlFragment): string[] {
  const lines: string[] = [];
  const open: unknown[] = content.toArray().reverse();
  let line: string | null = null;
  const flush = () => {
    if (line !== null) lines.push(line);
    line = null;
  };
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at instanceof Y.XmlText) {
      for (const { insert } of at.toDelta() as { insert: unknown }[]) line = (line ?? "") + (typeof insert === "string" ? insert : "\ufffc");
    } else if (at instanceof Y.XmlElement) {
      flush();
      line = "";
      open.push(...(at.toArray() as unknown[]).reverse());
    }
  }
  flush();
  return lines.filter((text, index) => text !== "" || lines[index - 1] !== "");
}
