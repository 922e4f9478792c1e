import { describe, expect, it } from "vitest";
import { meaning, neutral } from "../../src/editor/paste.ts";

describe("what is pasted", () => {
  it.each([
    ['<p style="x">style="y" onload=1</p>', '<p data-pasted-style="x">style="y" onload=1</p>'],
    ["<img src=x onerror=a()>", "<img src=x data-pasted-onerror=a()>"],
    ["<b\nstyle='a>b'>t</b>", "<b\ndata-pasted-style='a>b'>t</b>"],
    ["<svg/onload=1>", "<svg/data-pasted-onload=1>"],
    ["1 < 2 and style = calm", "1 < 2 and style = calm"],
  ])("%j gets inert names in its tags only", (html, inert) => expect(neutral(html)).toBe(inert));

  it.each([
    ["font-weight:700", ["strong"]],
    ["FONT-WEIGHT: bold; color: red", ["strong"]],
    ["font-weight:400", ["plain"]],
    ["font-style: italic; text-decoration: underline line-through", ["em", "u", "s"]],
    ["background:url(x)", []],
    ["", []],
  ])("the style %j means %j", (style, marks) => expect(meaning(style)).toEqual(marks));
});
