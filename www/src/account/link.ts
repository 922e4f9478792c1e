/* `/edit/ORG/NAME#link=TOKEN`: the link of a document makes its bearer a guest of it. */
import { enterAsGuest } from "./api.ts";
import { forgetSession, session } from "./session.ts";

/**
 * Shows the link to the server, once, and takes it out of the address. Somebody who is signed in stays who they are
 * unless the server has no place for them; a link that is over changes nothing. Never rejects.
 */
export async function enterByLink(from: Location, name: string): Promise<void> {
  const token = new URLSearchParams(from.hash.slice(1)).get("link");
  if (token === null || token === "") return;
  history.replaceState(null, "", from.pathname + from.search);
  const { mode, user } = await session();
  if (mode === "open" || user !== null) return;
  await enterAsGuest(token, name).then(forgetSession, () => undefined);
}
