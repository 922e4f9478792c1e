/* What a person is told when an account page's request failed. One sentence, and what to do. */
import { ServerError } from "./server.ts";

const WORDS: Record<string, string> = {
  login: "Name and password do not match.",
  setup: "This link was used already, or it is not the one that the server printed.",
  invite: "This invitation is over, or it was used already. Ask for a new one.",
  link: "This link is over, or it was taken back. Ask for a new one.",
  exists: "Somebody has this name already. Choose another one.",
  bad_user: "This name has no letters from a to z to sign in with. Add some.",
  weak: "This password is too easy to guess. Take a longer one.",
};

export function problem(error: unknown): string {
  if (!(error instanceof ServerError)) return "Something went wrong in this page. Reload it and try again.";
  if (error.status === 429) return `Too many tries. ${again(error.retryAfter)}`;
  return WORDS[error.code] ?? error.message;
}

export function setupProblem(error: unknown): string {
  if (error instanceof ServerError && error.status === 403) return "Open this link on the computer that the server runs on.";
  return problem(error);
}

export function passwordProblem(error: unknown): string {
  if (error instanceof ServerError && error.code === "login") return "This is not the password you have.";
  return problem(error);
}

function again(seconds: number): string {
  if (seconds <= 0) return "Try again later.";
  const [count, unit] = seconds < 90 ? [seconds, "second"] : [seconds / 60, "minute"];
  return `Try again in ${Math.ceil(count as number)} ${unit}${Math.ceil(count as number) === 1 ? "" : "s"}.`;
}
