// Failure 1: servers that know only their own sockets need sticky sessions, and a bounced socket loses updates.
import { client } from "../interop/clients.mjs";
import { Balancer, busIsThere, startNodes } from "../support/node/cluster.mjs";
import { finish, test, until } from "../support/node/tap.mjs";

/** A server that tells its own sockets and forgets: a list of people, and what each was told. */
class NaiveServer {
  people = [];
  join(told) {
    this.people.push(told);
  }
  edit(word) {
    for (const told of this.people) told.push(word);
  }
}

await test("the obvious design: who sits on another server hears nothing, who bounces misses what was said", async () => {
  const servers = [new NaiveServer(), new NaiveServer()];
  const [ana, ben] = [[], []];
  servers[0].join(ana);
  servers[1].join(ben); // round robin
  servers[0].edit("one");
  servers[1].join(ana); // bounced
  servers[0].edit("two");
  servers[0].people = servers[0].people.filter((told) => told !== ana); // its old socket is gone
  servers[0].edit("three");
  if (ana.includes("three")) throw new Error("the stand-in does not show it: Ana heard three");
  if (ben.length) throw new Error("the stand-in does not show it: Ben heard the other server");
});

const nodes = await startNodes(3);
const balancer = await new Balancer(() => nodes.map((node) => node.port)).start();
await busIsThere(nodes);

await test("here: any node serves any document, and sockets that bounce while people type lose nothing", async () => {
  const people = Array.from({ length: 6 }, () => client(balancer, "shared", { maxBackoffTime: 200 }));
  await until(() => people.every((p) => p.provider.synced), "all are there", 20_000);
  const words = new Set();
  for (let round = 0; round < 5; round++) {
    for (const [i, person] of people.entries()) {
      const word = `r${round}p${i}`;
      words.add(word);
      person.doc.getArray("words").push([word]);
      if (i === 2) balancer.bounce(); // in the middle of a round: the rest of it is typed without a socket
    }
    const opens = people.map((p) => p.opens);
    await until(() => people.every((p) => p.provider.synced && p.opens > 0), `back after bounce ${round}`, 10_000);
    await until(() => opens.length && people.every((p) => p.doc.getArray("words").length === words.size), `round ${round} is everywhere`, 15_000);
  }
  for (const person of people) {
    const has = person.doc.getArray("words").toArray();
    if (new Set(has).size !== has.length || !has.every((word) => words.has(word))) throw new Error("a word twice, or one that nobody typed");
    if (person.opens < 2) throw new Error("nobody bounced: the test shows nothing");
  }
  if (balancer.used.size !== 3) throw new Error(`only ${balancer.used.size} nodes were used`);
  people.forEach((person) => person.close());
});

balancer.stop();
for (const node of nodes) await node.stop();
finish();
