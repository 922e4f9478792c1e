import { describe, expect, it } from "vitest";
import { escapeHtml, fileName } from "../../src/editor/export.ts";
import { allowedHref, safeUrl } from "../../src/editor/links.ts";
import { initials, inkOn, PALETTE, toPerson, validColor, validName } from "../../src/editor/person.ts";

describe("what strangers say of themselves", () => {
  it.each(["red", "#fff", "#12345g", "#123456;background:url(x)", "url(x)", null, 7, {}])("a colour must be #rrggbb, not %j", (color) => {
    expect(validColor(color)).toMatch(/^#[0-9a-f]{6}$/);
    expect(validColor(color)).toBe(validColor(undefined));
  });
  it("takes a proper colour", () => expect(validColor("#A1b2C3")).toBe("#a1b2c3"));
  it.each([undefined, "", "   ", 5, "\u202e"])("a name is never empty: %j", (name) => expect(validName(name)).toBe("Somebody"));
  it("cuts long names and takes out control characters", () => {
    expect(validName("x".repeat(500))).toHaveLength(40);
    expect(validName("A\u0000\u202eB")).toBe("AB");
  });
  it.each([null, "x", 5, [], { name: {} }])("makes a person of anything: %j", (value) => {
    expect(toPerson(value, "1")).toMatchObject({ id: "1", name: "Somebody" });
  });
  it.each([["Ana Bell", "AB"], ["chen", "C"], ["Ana Maria Bell", "AB"], ["", "?"]])("initials of %j", (name, text) => expect(initials(name)).toBe(text));
  it.each(PALETTE)("white is readable on %s", (color) => expect(inkOn(color)).toBe("#ffffff"));
  it("writes dark on light colours", () => expect(inkOn("#ffee88")).toBe("#15181e"));
});

describe("links", () => {
  it.each([
    ["example.org", "https://example.org"],
    ["http://x.y/z", "http://x.y/z"],
    ["a@b.org", "mailto:a@b.org"],
    ["mailto:a@b.org", "mailto:a@b.org"],
    ["localhost:8080/x", "https://localhost:8080/x"],
  ])("%s", (text, url) => expect(safeUrl(text)).toBe(url));
  it.each(["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "java\nscript:alert(1)", "", null])(
    "refuses %j",
    (text) => expect(safeUrl(text)).toBeNull(),
  );
});

describe("hrefs of strangers", () => {
  it.each(["https://a.b", "HTTP://a.b/c?d#e", "mailto:a@b.c"])("shows %s", (href) => expect(allowedHref(href)).toBe(true));
  it.each(["javascript:1/alert(1)", " https://a.b", "https:alert", "//a.b", "/x", "x", "data:,x", "java\tscript:x", "", null])(
    "does not show %j",
    (href) => expect(allowedHref(href)).toBe(false),
  );
});

describe("files", () => {
  it.each([["a/b:c", "a b c"], ["..", "document"], ["", "document"], ["Über uns", "Über uns"]])("named after %j", (title, name) => expect(fileName(title)).toBe(name));
  it("escapes the title", () => expect(escapeHtml(`<b>"&'`)).not.toMatch(/[<>"']/));
});
