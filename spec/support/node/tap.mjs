// A runner of a page: tests in the order they stand, TAP out, exit 1 if one failed.
let count = 0;
let failed = 0;
const onFailure = [];

/** Wait for `question` to hold; answers what it answered. Never a fixed sleep: a deadline. */
export async function until(question, what, deadline_ms = 10_000, step_ms = 10) {
  const end = Date.now() + deadline_ms;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${deadline_ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, step_ms));
  }
}

/**
 * Wait for `question` to hold, for as long as `progress` (a number or a text) goes on changing: on a machine that is busy with
 * other things what moves is late, what stands still for `still_ms` is broken.
 */
export async function untilStill(question, what, progress, still_ms = 30_000, step_ms = 25) {
  let last = progress();
  let moved = Date.now();
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    const now = progress();
    if (now !== last) [last, moved] = [now, Date.now()];
    if (Date.now() - moved > still_ms) throw new Error(`nothing has moved for ${still_ms} ms (${now}): ${what}`);
    await new Promise((resolve) => setTimeout(resolve, step_ms));
  }
}

/** Settles with `promise`, or fails after `deadline_ms`. */
export function within(promise, what, deadline_ms = 10_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline_ms} ms: ${what}`)), deadline_ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function note(text) {
  for (const line of String(text).split("\n")) console.log(`# ${line}`);
}

/** Called with nothing when a test has failed: a place to print logs. */
export function afterFailure(tell) {
  onFailure.push(tell);
}

export async function test(name, body, { deadline_ms = 60_000 } = {}) {
  count += 1;
  const began = Date.now();
  try {
    await within(Promise.resolve().then(body), `"${name}"`, deadline_ms);
    console.log(`ok ${count} - ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${count} - ${name} (${Date.now() - began} ms)`);
    note(error?.stack ?? error);
    for (const tell of onFailure) tell();
  }
}

export function skip(name, why) {
  count += 1;
  console.log(`ok ${count} - ${name} # SKIP ${why}`);
}

/** The plan and the exit status. Last line of every runner. */
export function finish() {
  console.log(`1..${count}`);
  process.exit(failed > 0 || count === 0 ? 1 : 0);
}

process.on("unhandledRejection", (error) => {
  console.log(`not ok ${++count} - no rejection is left unhandled`);
  note(error?.stack ?? error);
  process.exit(1);
});
