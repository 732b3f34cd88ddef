/* Colours for prototxt: one line, or a whole text, as HTML. Tokens never span lines. */

const TOKENS =
  /(#.*)|("(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?)|([A-Za-z_][\w.]*)(?=[ \t]*[:{<])|(-?(?:\d[\w.+]*|\.\d[\w.+]*))|([A-Za-z_]\w*)/g;
const KINDS = ["comment", "string", "name", "value", "value"];

export function highlight(text) {
  let html = "";
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    const kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)];
    html += `${escape(text.slice(end, match.index))}<span class="code-${kind}">${escape(match[0])}</span>`;
    end = match.index + match[0].length;
  }
  return html + escape(text.slice(end));
}

export function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
