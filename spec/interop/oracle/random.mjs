// Chance that can be had again: the same seed gives the same history.

/** A small counter-based generator: a Weyl sequence through a mixer, 32 bits at a time. */
export class Random {
  constructor(seed) {
    this.state = Math.imul(seed >>> 0, 0x2c1b3c6d) ^ 0x297a2d39;
  }

  bits() {
    this.state = (this.state + 0x9e3779b9) | 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** 0 … n-1 */
  below(n) {
    return Math.floor((this.bits() / 2 ** 32) * n);
  }

  between(low, high) {
    return low + this.below(high - low + 1);
  }

  chance(p) {
    return this.bits() < p * 2 ** 32;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  /** One of the names of `weights`, as often as its number says. */
  weighted(weights) {
    let at = this.below(Object.values(weights).reduce((sum, w) => sum + w, 0));
    for (const [name, weight] of Object.entries(weights)) {
      if (at < weight) return name;
      at -= weight;
    }
    return undefined;
  }

  shuffled(list) {
    const out = list.slice();
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
}

const NARROW = ["a", "loom", "the moon", "x", "0", "42", "  ", "\n", "tuft", '"', "\\", "<b>", "&"];
const WIDE = ["é", "ß", "ж", "中文", "한", "\u0301", "\u200d", "\ufeff", "\ufffd", "€", "\u2028", "\u007f", "\u0001"];
const PAIRS = ["😀", "👩‍🚀", "🇫🇷", "\u{20000}", "\u{10ffff}", "𝄞"];

export function text(random, most = 4) {
  let out = "";
  for (let n = random.between(1, most); n > 0; n--)
    out += random.pick(random.chance(0.6) ? NARROW : random.chance(0.6) ? WIDE : PAIRS);
  return out;
}

export function pairs(random) {
  let out = "";
  for (let n = random.between(1, 3); n > 0; n--) out += random.pick(random.chance(0.7) ? PAIRS : NARROW);
  return out;
}

const NUMBERS = [
  0,
  -0,
  NaN,
  Infinity,
  -Infinity,
  1e21,
  1e-7,
  5e-324,
  1.7976931348623157e308,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53) + 1,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  -(2 ** 31) + 1,
  123456789012345680000,
  2 ** -44,
  0.1,
  0.5,
];

function number(random) {
  switch (random.below(5)) {
    case 0:
      return random.pick(NUMBERS);
    case 1:
      return random.below(200) - 100;
    case 2:
      return random.below(100000) / 8;
    case 3:
      return random.below(1000000) / 1000;
    default:
      return (random.bits() * 2 ** 21 + random.below(2 ** 21)) * (random.chance(0.5) ? 1 : -1);
  }
}

export const KEYS = ["a", "b", "k", "key", "ключ", "", "10", "9", "🔑", "long key with spaces", "toString"];

/** A value that a map or list can hold, in the spelling of operations.mjs. */
export function value(random, depth = 1) {
  switch (random.below(depth > 0 ? 11 : 8)) {
    case 0:
    case 1:
      return spell(number(random));
    case 2:
    case 3:
      return text(random, 3);
    case 4:
      return random.chance(0.5);
    case 5:
      return null;
    case 6:
      return random.pick(["", 'q"\\\u0007/', "\u2028", "v"]);
    case 7:
      return random.pick([
        { $y: "undefined" },
        { $y: "bigint", v: "-5" },
        { $y: "bigint", v: "9223372036854775807" },
        { $y: "bytes", v: "" },
        { $y: "bytes", v: "00ff10" },
      ]);
    case 8:
      return Array.from({ length: random.below(4) }, () => value(random, depth - 1));
    default: {
      const object = {};
      for (let n = random.below(4); n > 0; n--) object[random.pick(KEYS)] = value(random, depth - 1);
      return object;
    }
  }
}

function spell(n) {
  if (Number.isFinite(n) && !Object.is(n, -0)) return n;
  return { $y: "num", v: Object.is(n, -0) ? "-0" : String(n) };
}

/**
 * `primitive`: no objects. Where Yjs asks whether two of those are one and the same, the answer depends on which calls
 * made them in this session, and is another one after a reload.
 */
export function attributes(random, primitive) {
  const links = primitive ? [null, "u", "v"] : [null, "u", { href: "h" }, { href: "h", n: [1, { x: null }] }];
  const out = {};
  for (let n = random.between(1, 2); n > 0; n--) {
    const key = random.pick(["bold", "italic", "color", "link"]);
    if (key === "color") out[key] = random.pick([null, "red", 7, 0.1]);
    else if (key === "link") out[key] = random.pick(links);
    else out[key] = random.pick([true, true, null]);
  }
  return out;
}
