// Our engine and npm yjs, step by step: random histories of several replicas, byte for byte. In the long mode a million
// operations on the engine as it ships, and the states compared with those of Yjs 14 as well.
//
//   node spec/interop/differential.mjs [FIRST_SEED [HISTORIES]]     one stretch of seeds, to look at a difference again
import { Engine } from "./oracle/engine.mjs";
import { make, replay, shorten } from "./oracle/history.mjs";
import { Replica } from "./oracle/replica.mjs";
import { LONG } from "../support/node/server.mjs";
import { finish, note, test } from "../support/node/tap.mjs";

const CLI = process.env.MOONLOOM_ENGINE_CLI ?? "build/dev/spec/interop/engine_cli";
const SHIPPED = process.env.MOONLOOM_ENGINE_CLI_SHIPPED ?? `${CLI}_shipped`;
const HISTORIES = 2000;
const OPERATIONS_LONG = 1_000_000;
const LENGTHS = [40, 40, 40, 40, 40, 40, 40, 150]; // operations of a history
const SEED_LONG = 100_001;

/** What replicas answer otherwise in this history; undefined: nothing. A program of its own, as it may end badly. */
async function difference(program, history, next) {
  const engine = new Engine(program);
  try {
    return await replay(history, next).compare(engine);
  } catch (error) {
    return error.stack;
  } finally {
    await engine.end();
  }
}

/** The shortest history found that still differs. */
async function explain(program, seed, { setup, steps }, next) {
  const differs = async (fewer) => (await difference(program, { setup, steps: fewer }, next)) !== undefined;
  const short = await shorten(steps, differs);
  note(`seed ${seed}\n${JSON.stringify(setup)}\n${short.map((step) => JSON.stringify(step)).join("\n")}`);
  note((await difference(program, { setup, steps: short }, next)) ?? "not seen again: it needs what came before");
}

/** Histories from `seed` on until `enough(counts)`. */
async function compare(program, seed, enough, next) {
  const engine = new Engine(program);
  const counts = {
    first_seed: seed,
    histories: 0,
    operations: 0,
    written: 0,
    answers: 0,
    joined_by_reload: 0,
    differences: 0,
  };
  for (; !enough(counts); seed++) {
    const made = make(seed, LENGTHS[seed % LENGTHS.length], next);
    const different = await made.history.compare(engine);
    counts.histories += 1;
    counts.operations += made.history.operations;
    counts.written += made.history.written;
    counts.answers += made.history.commands.length;
    counts.joined_by_reload += made.history.joinedByReload;
    if (different === undefined) continue;
    counts.differences += 1;
    await explain(program, seed, made, next);
    throw new Error(`seed ${seed} differs`);
  }
  const status = await engine.end();
  if (status !== 0) throw engine.error;
  note(JSON.stringify({ ...counts, retried_for_yjs: Replica.retries }));
}

const [first, histories] = process.argv.slice(2).map(Number);
if (first) {
  await test(
    `histories from seed ${first} on`,
    () => compare(CLI, first, (c) => c.histories >= (histories ?? 1), true),
    { deadline_ms: 7_200_000 },
  );
} else {
  await test(
    `${HISTORIES} random histories are the same in our engine as in yjs`,
    () => compare(CLI, 1, (c) => c.histories >= HISTORIES, false),
    { deadline_ms: 1_200_000 },
  );
  if (LONG) {
    await test(
      `${OPERATIONS_LONG} random operations are the same in our engine as in yjs 13 and 14`,
      () => compare(SHIPPED, SEED_LONG, (c) => c.operations >= OPERATIONS_LONG, true),
      { deadline_ms: 14_400_000 },
    );
  }
}
finish();
