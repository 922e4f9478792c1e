/* Names that a person can read aloud: for new documents and for visitors without one. */

const FIRST = (
  "amber ancient autumn bright calm clear copper coral cosy dusky early evening fern gentle golden hazel " +
  "hidden indigo ivory jolly kind lunar mellow misty morning northern opal patient pearl quiet rosy silver " +
  "slow snowy soft southern still sunny tidal velvet wandering warm willow winter"
).split(" ");
const PLACES = (
  "bay brook canyon cliff cloud coast cove creek dawn delta dune field forest garden glade grove harbor hill " +
  "island lagoon lake lantern lighthouse loom meadow moon orchard path pond reef river shore spring star " +
  "stream thread tide valley weaver wood"
).split(" ");
const ANIMALS = (
  "Badger Beaver Crane Deer Dolphin Falcon Finch Fox Gecko Hare Hedgehog Heron Ibex Jay Koala Lark Lynx " +
  "Magpie Marten Moth Newt Otter Owl Panda Puffin Raven Robin Seal Sparrow Stork Swift Tern Turtle Vole Wren"
).split(" ");
const TAIL = "23456789abcdefghjkmnpqrstuvwxyz";

export type Random = () => number;

/** "silver-harbor-7k2m": about 1.5 billion of them. */
export function newDocumentName(random: Random = secureRandom): string {
  const tail = Array.from({ length: 4 }, () => pick([...TAIL], random)).join("");
  return `${pick(FIRST, random)}-${pick(PLACES, random)}-${tail}`;
}

export function newNickname(random: Random = secureRandom): string {
  const first = pick(FIRST, random);
  return `${first[0]!.toUpperCase()}${first.slice(1)} ${pick(ANIMALS, random)}`;
}

function pick<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)]!;
}

function secureRandom(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32;
}
