// SPDX-License-Identifier: MIT
// Our regular expressions and JavaScript's agree on what they share: random patterns on random text.
//   node regex_test.mjs PROGRAM [SEED [COUNT]]
// Left out, because the two differ on purpose: a repeated body that can be empty; groups inside a
// repetition are made, but only the whole match is compared then.
import { spawnSync } from "node:child_process"

const [program, seedText = "1", countText = "6000"] = process.argv.slice(2)
let seed = Number(seedText)
const random = n => { // xorshift32
  seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5
  return (seed >>> 0) % n
}
const pick = list => list[random(list.length)]

const CHARS = ["a", "b", "c", "A", "B", "1", "_", " ", "\n", "é", "É", "ß", "€", "😀", "-", "."]
const ESCAPED = { ".": "\\." }
const literal = () => { const c = pick(CHARS); return { text: ESCAPED[c] ?? c, empty: false } }
const members = () => {
  let text = pick(["", "", "^"])
  for (let i = 1 + random(3); i > 0; i--)
    text += pick(["a", "b", "1", "_", "é", "😀", "a-c", "A-B", "0-9", "é-€", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\p{Lu}", "\\P{L}", "\\p{S}", "\\n"])
  return { text: `[${text}]`, empty: false }
}
const SINGLE = [".", "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\p{L}", "\\p{Ll}", "\\u{1F600}", "\\xe9", "\\u00e9"]
const PLACES = ["^", "$", "\\b", "\\B"]

let groups, repeated
const join = parts => ({ text: parts.map(p => p.text).join(""), empty: parts.every(p => p.empty) })
function alternatives(depth) {
  const parts = []
  for (let i = 1 + (random(3) === 0 ? random(3) : 0); i > 0; i--) parts.push(sequence(depth))
  return { text: parts.map(p => p.text).join("|"), empty: parts.some(p => p.empty) }
}
function sequence(depth) {
  const parts = []
  for (let i = random(5); i > 0; i--) parts.push(repeatedAtom(depth))
  return join(parts)
}
function repeatedAtom(depth) {
  const before = groups
  const atom = oneAtom(depth)
  if (atom.place || random(3) > 0 || atom.empty) return atom
  if (groups > before) repeated = true
  const [count, empty] = pick([["*", true], ["+", false], ["?", true], ["{2}", false], ["{0,2}", true], ["{1,3}", false], ["{2,}", false]])
  return { text: atom.text + count + pick(["", "", "?"]), empty }
}
function oneAtom(depth) {
  const kind = random(depth > 0 ? 10 : 8)
  if (kind < 4) return literal()
  if (kind < 5) return members()
  if (kind < 7) return { text: pick(SINGLE), empty: false }
  if (kind < 8) return { text: pick(PLACES), empty: true, place: true }
  const open = pick(["(", "(", "(?:"])
  if (open === "(") groups++
  const inner = alternatives(depth - 1)
  return { text: `${open}${inner.text})`, empty: inner.empty }
}

const cases = []
for (let i = 0; i < Number(countText); i++) {
  groups = 0; repeated = false
  const pattern = alternatives(3).text
  const flags = pick(["", "", "", "s", "m"])
  const text = Array.from({ length: random(14) }, () => pick(CHARS)).join("")
  cases.push({ pattern, flags, text, repeated, groups })
}
const hex = s => Buffer.from(s).toString("hex")
const ours = spawnSync(program, {
  input: cases.map(c => `${hex((c.flags ? `(?${c.flags})` : "") + c.pattern)} ${hex(c.text)}\n`).join(""),
  maxBuffer: 1 << 28, encoding: "utf8" })
if (ours.status !== 0) { console.error(ours.stderr); process.exit(1) }
const lines = ours.stdout.split("\n")

let failed = 0, matched = 0
for (const [i, c] of cases.entries()) {
  const m = new RegExp(c.pattern, "u" + "d" + c.flags).exec(c.text)
  if (m && /[\udc00-\udfff]/.test(c.text[m.index] ?? "")) continue // V8 looks between the halves of a pair
  const bytes = index => Buffer.byteLength(c.text.slice(0, index))
  const spans = m ? m.indices.map(p => p ? `${bytes(p[0])},${bytes(p[1])}` : "-") : ["none"]
  let got = lines[i].trim().split(" ")
  if (m) matched++
  const want = c.repeated ? spans.slice(0, 1) : spans
  if (c.repeated) got = got.slice(0, 1)
  if (want.join(" ") !== got.join(" ") && failed++ < 10)
    console.error(`/${c.pattern}/${c.flags} on ${JSON.stringify(c.text)}: JavaScript ${want.join(" ")}, ours ${lines[i]}`)
}
console.log(`${cases.length} patterns, ${matched} of them matched, ${failed} differ (seed ${seedText})`)
process.exit(failed || matched < cases.length / 4 ? 1 : 0)
