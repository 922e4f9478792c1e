/*
 * What is pasted, before the editor reads it. The content security policy silences `style` attributes even in the
 * document that the editor parses in, so what they mean is put into elements first, and then they go, with all
 * scripts and handlers.
 */

const REMOVED = "script,style,link,meta,base,iframe,object,embed,svg,math,template,noscript";

export function cleanPaste(html: string): string {
  const page = new DOMParser().parseFromString(neutral(html), "text/html");
  for (const element of page.body.querySelectorAll(REMOVED)) element.remove();
  for (const element of page.body.querySelectorAll("*")) {
    for (const name of element.getAttributeNames()) if (name.startsWith("on")) element.removeAttribute(name);
    const style = element.getAttribute(STYLE);
    if (style !== null) {
      element.removeAttribute(STYLE);
      wrap(element, meaning(style));
    }
  }
  return page.body.innerHTML;
}

const STYLE = "data-pasted-style";

/** Inert names for what the parser would complain about while it reads. */
export function neutral(html: string): string {
  return html.replace(TAG, (tag) =>
    tag.replace(/([\s"'/])style(\s*=)/gi, `$1${STYLE}$2`).replace(/([\s"'/])on([a-z]+\s*=)/gi, "$1data-pasted-on$2"),
  );
}

const TAG = /<[a-z](?:"[^"]*"|'[^']*'|[^'">])*>/gi;

/** Which marks a style stands for. Word processors write bold text as `<span style="font-weight:700">`. */
export function meaning(style: string): string[] {
  const marks: string[] = [];
  for (const part of style.toLowerCase().split(";")) {
    const colon = part.indexOf(":");
    const property = part.slice(0, colon).trim();
    const value = part.slice(colon + 1).trim();
    if (property === "font-weight" && (/^bold/.test(value) || Number(value) >= 600)) marks.push("strong");
    else if (property === "font-weight") marks.push("plain");
    else if (property === "font-style" && /^(italic|oblique)/.test(value)) marks.push("em");
    else if (/^text-decoration(-line)?$/.test(property)) {
      if (value.includes("underline")) marks.push("u");
      if (value.includes("line-through")) marks.push("s");
    }
  }
  return marks;
}

function wrap(element: Element, marks: string[]): void {
  // <b style="font-weight:normal"> around everything is how one of them marks its clipboard.
  if (marks.includes("plain") && /^(b|strong)$/i.test(element.tagName)) {
    element.replaceWith(...element.childNodes);
    return;
  }
  if (!/^(span|a|code|font|b|i|u|s|em|strong)$/i.test(element.tagName)) return;
  for (const mark of marks) {
    if (mark === "plain") continue;
    const around = element.ownerDocument.createElement(mark);
    around.append(...element.childNodes);
    element.append(around);
  }
}
