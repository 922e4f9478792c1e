import { describe, expect, it } from "vitest";
import { newDocumentName, newNickname } from "../../src/shell/names.ts";
import { editPath, parseRoute, syncUrl } from "../../src/shell/router.ts";

describe("addresses", () => {
  it.each([
    ["/", { page: "home" }],
    ["/edit/default/notes", { page: "edit", org: "default", name: "notes" }],
    ["/edit/default/team/notes", { page: "edit", org: "default", name: "team/notes" }],
    ["/edit/default/a%2Fb", { page: "edit", org: "default", name: "a/b" }],
    ["/edit/default/%C3%BCber%20uns", { page: "edit", org: "default", name: "über uns" }],
    ["/edit/default/u%CC%88", { page: "edit", org: "default", name: "ü" }],
    ["/edit/Default/notes", { page: "missing" }],
    ["/edit/default/%00", { page: "missing" }],
    ["/edit/default/%zz", { page: "missing" }],
    ["/edit/default/", { page: "missing" }],
    [`/edit/default/${"a".repeat(513)}`, { page: "missing" }],
    ["/invite", { page: "invite" }],
    ["/password", { page: "password" }],
    ["/password/x", { page: "missing" }],
    ["/elsewhere", { page: "missing" }],
  ])("%s", (path, route) => expect(parseRoute(path)).toEqual(route));

  it.each(["notes", "team/notes", "a/../b", "/x", "über uns?#%", "100 %"])("an address of %j opens it again", (name) => {
    const url = new URL(editPath("default", name), "http://host");
    expect(parseRoute(url.pathname)).toEqual({ page: "edit", org: "default", name });
  });

  it("speaks the scheme of the page", () => {
    expect(syncUrl({ protocol: "https:", host: "h" }, "o", "a b")).toBe("wss://h/sync/o/a%20b");
    expect(syncUrl({ protocol: "http:", host: "h:1" }, "o", "n")).toBe("ws://h:1/sync/o/n");
  });
});

describe("names", () => {
  it("of new documents can be read aloud and stand in an address as they are", () => {
    for (let n = 0; n < 200; n++) {
      const name = newDocumentName();
      expect(name).toMatch(/^[a-z]+-[a-z]+-[2-9a-z]{4}$/);
      expect(editPath("default", name)).toBe(`/edit/default/${name}`);
    }
  });
  it("of visitors are two words", () => expect(newNickname()).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/));
});
