import { describe, expect, it } from "vitest";
import { accountId } from "../../src/account/account-form.tsx";
import { problem, setupProblem } from "../../src/account/problems.ts";
import { ServerError } from "../../src/account/server.ts";
import { returnPath } from "../../src/account/sign-in.tsx";
import { signInPath } from "../../src/shell/router.ts";

const ORIGIN = "https://docs.example";

describe("the way back after signing in", () => {
  it.each(["/", "/edit/default/a", "/edit/default/%C3%BC", "/edit/default/a%2Fb"])("takes %s", (path) => {
    expect(returnPath(new URL(signInPath({ pathname: path }), ORIGIN).search, ORIGIN)).toBe(path);
  });

  it.each([
    "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "data:text/html,x", "edit/default/a",
    " /edit", "", "/\t/evil.example", "/\n/evil.example", "https:evil.example", "http:///evil.example", "/%09/../\\evil.example/..//x",
  ])("goes nowhere else: %j", (next) => {
    const path = returnPath(`?${new URLSearchParams({ next })}`, ORIGIN);
    expect(new URL(path, ORIGIN).origin).toBe(ORIGIN);
    expect(path.startsWith("/") && !path.startsWith("//")).toBe(true);
  });
});

describe("the name to sign in with", () => {
  it.each([
    ["Ana Bell", "ana-bell"],
    ["  Ünal  Öz ", "unal-oz"],
    ["ana@example.org", "ana@example.org"],
    ["李雷", ""],
    ["_x", "x"],
    ["--", ""],
    ["a/b\\c", "a-b-c"],
  ])("%j is %j", (name, id) => expect(accountId(name)).toBe(id));
});

describe("what a person is told", () => {
  it("names no account", () => expect(problem(new ServerError(401, "login", "no user ana"))).toBe("Name and password do not match."));
  it("says when to come back", () => {
    expect(problem(new ServerError(429, "too_many_tries", "x", 30))).toBe("Too many tries. Try again in 30 seconds.");
    expect(problem(new ServerError(429, "too_many_tries", "x", 900))).toBe("Too many tries. Try again in 15 minutes.");
    expect(problem(new ServerError(429, "too_many_tries", "x"))).toBe("Too many tries. Try again later.");
  });
  it("knows where a set-up has to be opened", () => expect(setupProblem(new ServerError(403, "denied", "x"))).toMatch(/computer/));
  it("keeps the server's words for what it does not know", () => expect(problem(new ServerError(503, "x", "Busy."))).toBe("Busy."));
});
