// A random history of several replicas, carried out on npm yjs, with what our engine has to answer at every step.
//
// A history is a setup and steps, plain data, so that it can be printed, shortened and run again:
//
//   setup  { style, roots, writes, replicas: [{ client, gc }] }
//          writes: the engine makes the edits itself; else it receives them from the oracle's author
//   step   { edit: replica, operations, id }             the update of this transaction is `id` from now on
//          { give: replica, ids, as }                    as: 1, 2, or "merged 1", "merged 2"
//          { sync: replica, from: replica, as: 1|2 }     what the one lacks, by its state vector
//          { reload: replica, as: 1|2 }                  both sides go on from their own bytes
//          { look: replica }                             state vector, views, pending, whole state in V1 and V2
//          { bytes: ids, as: 1|2, against: replica }     merge, diff, convert and state vector, without a document
//
// Each step becomes commands for the engine (spec/support/engine_cli.c) and a check of each answer.
import { Engine } from "./engine.mjs";
import { choose, encoded } from "./operations.mjs";
import { Random } from "./random.mjs";
import { bytes, findByScan, Replica, statesOfNext, toHex, withoutCollected } from "./replica.mjs";
import { canonical } from "./views.mjs";

const STYLES = {
  text: { roots: [{ name: "t", type: "text" }] },
  "one place": { roots: [{ name: "t", type: "text" }], onePlace: true },
  format: { roots: [{ name: "t", type: "text" }], formats: true },
  "split pairs": { roots: [{ name: "t", type: "text" }], splitsPairs: true },
  map: { roots: [{ name: "m", type: "map" }] },
  array: { roots: [{ name: "a", type: "array" }] },
  nested: {
    roots: [
      { name: "m", type: "map" },
      { name: "a", type: "array" },
    ],
    nested: true,
  },
  xml: {
    roots: [
      { name: "x", type: "xmlfragment" },
      { name: "xt", type: "xmltext" },
    ],
    formats: true,
  },
  all: {
    roots: [
      { name: "t", type: "text" },
      { name: "", type: "map" },
      { name: "é", type: "array" },
      { name: "x", type: "xmlfragment" },
    ],
    formats: true,
    nested: true,
  },
};

const CLIENTS = [0, 1, 2, 127, 128, 300, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53 - 2];

function setupOf(random, style) {
  const clients = new Set();
  const count = random.between(2, 4);
  while (clients.size < count) {
    clients.add(
      random.chance(0.5)
        ? random.pick(CLIENTS)
        : random.chance(0.5)
          ? random.bits()
          : random.bits() * 2 ** 21 + random.below(2 ** 21),
    );
  }
  const gc = random.weighted({ on: 5, off: 2, mixed: 3 });
  return {
    style,
    roots: STYLES[style].roots,
    writes: !STYLES[style].splitsPairs && random.chance(0.5), // our writer never cuts a pair
    replicas: [...clients].map((client) => ({ client, gc: gc === "on" || (gc === "mixed" && random.chance(0.5)) })),
  };
}

/** Where a replica's number ends and the fresh document's begins, which gets everything in the end. */
const FRESH = 63;

/** The author's own update, received by somebody: the same but for what it collected itself. */
function receivedAs(updates, expected) {
  if (updates.length !== expected.length) return false;
  return updates.every(
    ({ v1, v2 }, i) =>
      withoutCollected(v1) === withoutCollected(expected[i].v1) &&
      withoutCollected(bytes.convert(v2, 2)) === withoutCollected(bytes.convert(expected[i].v2, 2)),
  );
}

export class History {
  constructor(setup) {
    this.setup = setup;
    findByScan(setup.writes); // as our writer does; otherwise through Yjs' own markers
    this.replicas = setup.replicas.map((r) => new Replica({ ...r, roots: setup.roots, whole: setup.writes }));
    this.updates = new Map();
    this.commands = [];
    this.checks = [];
    this.operations = 0;
    this.written = 0; // of them by our own writer
    this.joinedByReload = 0; // states that are the same only after Yjs has loaded its own
    this.replicas.forEach((r, doc) => this.ask({ cmd: "new", ...this.options(doc) }));
  }

  options(doc) {
    const { client, gc, roots } = this.replicas[doc];
    return { doc, client: this.setup.writes ? client : 0, gc, roots };
  }

  /** `check(answer)` says what is wrong, or nothing. */
  ask(command, check) {
    this.commands.push(command);
    this.checks.push({ command, check, step: this.at });
  }

  expectHex(command, expected) {
    this.ask(command, (answer) => (answer.hex === expected ? undefined : `expected ${expected}`));
  }

  /** Carry out a step on the oracle, and note what the engine has to do. */
  step(step) {
    this.at = step;
    for (const name of Object.keys(STEPS)) if (name in step) STEPS[name](this, step);
  }

  /** The oracle has done `operations` in one transaction. */
  edited(doc, operations, id) {
    const replica = this.replicas[doc];
    const [update] = replica.emitted;
    this.operations += operations.length;
    if (update) this.updates.set(id, update);
    if (this.setup.writes && replica.client !== 0) {
      this.written += operations.length;
      this.ask({ cmd: "tx", doc, ops: toHex(encoded(operations)) });
      this.expectEmitted(doc);
      return;
    }
    const v = (id % 2) + 1;
    if (update) this.ask({ cmd: "apply", doc, hex: update[`v${v}`], v });
    this.expectEmitted(doc, receivedAs);
  }

  deliver(doc, hex, v) {
    const replica = this.replicas[doc];
    replica.apply(hex, v);
    this.ask({ cmd: "apply", doc, hex, v });
    this.expectEmitted(doc);
    this.expectHex({ cmd: "sv", doc }, replica.stateVector());
  }

  /** `alike` may say that other bytes are as good. */
  expectEmitted(doc, alike = () => false) {
    const expected = this.replicas[doc].takeEmitted();
    this.ask({ cmd: "emitted", doc }, ({ updates }) =>
      JSON.stringify(updates) === JSON.stringify(expected) || alike(updates, expected)
        ? undefined
        : `expected ${JSON.stringify(expected)}`,
    );
  }

  expectState(doc, replica, v) {
    const expected = replica.state(v);
    this.ask({ cmd: "state", doc, v }, ({ hex }) => {
      if (hex === expected) return undefined;
      // Yjs leaves some neighbouring collected structs apart until it loads them again.
      const again = new Replica(replica);
      again.apply(expected, v);
      this.joinedByReload += 1;
      return hex === again.state(v) ? undefined : `expected ${expected}`;
    });
  }

  look(doc, replica = this.replicas[doc]) {
    const view = replica.view();
    const { structs, deletes } = replica.pending();
    this.expectHex({ cmd: "sv", doc }, replica.stateVector());
    this.ask({ cmd: "view", doc }, ({ roots }) => {
      const seen = canonical(roots);
      return seen === view ? undefined : `seen     ${seen}\nexpected ${view}`;
    });
    this.ask({ cmd: "pending", doc }, (answer) =>
      answer.structs === structs && answer.deletes === deletes
        ? undefined
        : `expected ${JSON.stringify({ structs, deletes })}`,
    );
    this.expectState(doc, replica, 1);
    this.expectState(doc, replica, 2);
  }

  /** Everything, in the order it was made, to a document that has seen nothing. `next`: and to one of Yjs 14. */
  finish(next = false) {
    const updates = [...this.updates.values()].map(({ v1 }) => v1);
    const fresh = new Replica({ client: 5, gc: true, roots: this.setup.roots });
    this.at = "a fresh document with everything";
    this.ask({ cmd: "new", doc: FRESH, gc: true, roots: this.setup.roots });
    for (const hex of updates) {
      fresh.apply(hex, 1);
      this.ask({ cmd: "apply", doc: FRESH, hex, v: 1 });
    }
    this.look(FRESH, fresh);
    if (!next) return;
    this.at = "the same by Yjs 14";
    statesOfNext(updates).forEach((expected, i) => this.expectHex({ cmd: "state", doc: FRESH, v: i + 1 }, expected));
  }

  /** The first thing the engine answered otherwise, as text; undefined: nothing. */
  async compare(engine) {
    const lines = await engine.ask(this.commands);
    for (let i = 0; i < lines.length; i++) {
      const { command, check, step } = this.checks[i];
      const answer = Engine.parse(lines[i]);
      const wrong = answer.ok ? check?.(answer) : "expected no error";
      if (wrong !== undefined)
        return `${JSON.stringify(command)}\nanswered ${JSON.stringify(answer)}\n${wrong}\nat ${JSON.stringify(step)}`;
    }
    return undefined;
  }
}

const known = (history, ids) => ids.filter((id) => history.updates.has(id)).map((id) => history.updates.get(id));
const listed = (updates, v) => updates.map((u) => u[`v${v}`]);

const STEPS = {
  edit(history, { edit: doc, operations, id }) {
    history.edited(doc, history.replicas[doc].edit(operations), id);
  },

  give(history, { give: doc, ids, as }) {
    const updates = known(history, ids);
    if (updates.length === 0) return;
    const v = String(as).endsWith("2") ? 2 : 1;
    if (typeof as === "string") {
      const merged = bytes.merge(listed(updates, v), v);
      history.expectHex({ cmd: "merge", list: listed(updates, v), v }, merged);
      history.deliver(doc, merged, v);
    } else {
      for (const hex of listed(updates, v)) history.deliver(doc, hex, v);
    }
  },

  sync(history, { sync: doc, from, as: v }) {
    const stateVector = history.replicas[doc].stateVector();
    const hex = history.replicas[from].state(v, stateVector);
    history.ask({ cmd: "state", doc: from, v, sv: stateVector });
    history.deliver(doc, hex, v);
  },

  reload(history, { reload: doc, as: v }) {
    history.replicas[doc].reload(v);
    history.ask({ cmd: "load", ...history.options(doc), v });
  },

  look(history, { look: doc }) {
    history.look(doc);
  },

  bytes(history, { bytes: ids, as: v, against }) {
    const list = listed(known(history, ids), v);
    if (list.length === 0) return;
    const hex = bytes.merge(list, v);
    const sv = history.replicas[against].stateVector();
    history.expectHex({ cmd: "merge", list, v }, hex);
    history.expectHex({ cmd: "diff", hex, sv, v }, bytes.diff(hex, sv, v));
    history.expectHex({ cmd: "convert", hex, from: v }, bytes.convert(hex, v));
    history.expectHex({ cmd: "svof", hex, v }, bytes.stateVector(hex, v));
  },
};

// ---- Making one ---------------------------------------------------------------------------------

class Maker {
  constructor(seed) {
    this.random = new Random(seed);
    const style = this.random.pick(Object.keys(STYLES));
    this.history = new History(setupOf(this.random, style));
    this.style = { ...STYLES[style], primitive: this.history.setup.writes };
    this.steps = [];
    this.behind = this.history.replicas.map(() => []); // ids not yet given
    this.next = 0;
  }

  step(step) {
    this.steps.push(step);
    this.history.step(step);
  }

  edit(doc) {
    const { random, history, style } = this;
    const replica = history.replicas[doc];
    const step = { edit: doc, operations: [], id: this.next++ };
    history.at = step;
    this.steps.push(step);
    // A pair that is split and then deleted in one transaction: nobody else learns of the split.
    const count = style.splitsPairs || random.chance(0.8) ? 1 : random.between(2, 4);
    step.operations = replica.transact(count, () => choose(random, replica.doc, history.setup.roots, style));
    history.edited(doc, step.operations, step.id);
    if (history.updates.has(step.id)) this.behind.forEach((ids, other) => other !== doc && ids.push(step.id));
  }

  give(doc) {
    const { random } = this;
    const behind = this.behind[doc];
    if (behind.length === 0) return;
    const ids = [];
    for (let n = random.chance(0.7) ? 1 : random.between(2, 5); n > 0 && behind.length > 0; n--) {
      const at = random.chance(0.6) ? 0 : random.below(behind.length);
      ids.push(behind[at]);
      if (!random.chance(0.1)) behind.splice(at, 1); // else it comes once more
    }
    this.step({ give: doc, ids, as: this.as(ids) });
  }

  as(ids) {
    return ids.length > 1 && this.random.chance(0.5)
      ? this.random.pick(["merged 1", "merged 2"])
      : this.random.between(1, 2);
  }

  anyIds() {
    return Array.from({ length: Math.min(this.next, this.random.between(1, 5)) }, () => this.random.below(this.next));
  }

  make(length) {
    const { random, history } = this;
    const anybody = () => random.below(history.replicas.length);
    const moves = {
      edit: () => this.edit(anybody()),
      give: () => this.give(anybody()),
      sync: () => this.step({ sync: anybody(), from: anybody(), as: random.between(1, 2) }),
      reload: () => this.step({ reload: anybody(), as: random.between(1, 2) }),
      look: () => this.step({ look: anybody() }),
      bytes: () => this.next > 0 && this.step({ bytes: this.anyIds(), as: random.between(1, 2), against: anybody() }),
    };
    while (history.operations < length)
      moves[random.weighted({ edit: 50, give: 40, sync: 3, reload: 2, look: 4, bytes: 2 })]();
    this.behind.forEach((ids, doc) => {
      this.behind[doc] = random.shuffled(ids);
      while (this.behind[doc].length > 0) this.give(doc);
      this.step({ look: doc });
    });
    return { setup: history.setup, steps: this.steps, history };
  }
}

/**
 * A history of at least `length` operations, already carried out on the oracle: { setup, steps, history }.
 * `next`: in the end compared with Yjs 14 too.
 */
export function make(seed, length, next) {
  const made = new Maker(seed).make(length);
  made.history.finish(next);
  return made;
}

export function replay({ setup, steps }, next) {
  const history = new History(setup);
  for (const step of steps) history.step(step);
  history.finish(next);
  return history;
}

// ---- Shortening one -----------------------------------------------------------------------------

const without = (list, at, count = 1) => [...list.slice(0, at), ...list.slice(at + count)];

/** The same step with one operation or one update less, in every way. */
function lesser(step) {
  const part = ["operations", "ids", "bytes"].find((name) => Array.isArray(step[name]) && step[name].length > 1);
  return part ? step[part].map((_, i) => ({ ...step, [part]: without(step[part], i) })) : [];
}

/** Fewer and smaller steps that still differ. `differs(steps)` runs them anew. */
export async function shorten(steps, differs, tries = 1000) {
  let kept = steps;
  const keepIf = async (fewer) => {
    if (tries-- <= 0 || !(await differs(fewer))) return false;
    kept = fewer;
    return true;
  };
  for (let size = Math.ceil(kept.length / 2); size > 1; size = Math.ceil(size / 2))
    for (let at = 0; at < kept.length;) if (!(await keepIf(without(kept, at, size)))) at += size;
  for (let before = 0; before !== JSON.stringify(kept).length && tries > 0;) {
    before = JSON.stringify(kept).length;
    for (let at = 0; at < kept.length;) if (!(await keepIf(without(kept, at)))) at += 1;
    for (let at = 0; at < kept.length; at++)
      for (const step of lesser(kept[at])) if (await keepIf([...kept.slice(0, at), step, ...kept.slice(at + 1)])) break;
  }
  return kept;
}
