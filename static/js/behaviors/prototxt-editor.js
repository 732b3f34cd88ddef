/* A textarea with line numbers, colours under its letters and marks at faulty lines; it stays an ordinary textarea.
   Listens on the textarea: "editor:issues" {issues: [{line, kind, message}]} marks lines,
                            "editor:go" {line, column} puts the cursor there. */

import { escape, highlight } from "../lib/prototxt.js";

const LONGEST_COLOURED = 200_000; // characters; beyond that, colouring would make typing slow

export function connect(textarea) {
  const editor = make("div", "editor");
  const gutter = make("pre", "editor-gutter");
  const body = make("div", "editor-body");
  const colors = make("pre", "editor-colors");
  const code = colors.appendChild(make("code", ""));
  const marks = colors.appendChild(make("div", "editor-marks"));
  for (const element of [gutter, colors]) element.setAttribute("aria-hidden", "true");
  textarea.replaceWith(editor);
  body.append(colors, textarea);
  editor.append(gutter, body);
  let issues = new Map();
  let frame = 0;

  function draw() {
    frame = 0;
    const text = textarea.value;
    code.innerHTML = `${text.length > LONGEST_COLOURED ? escape(text) : highlight(text)}\n`;
    drawGutter(text.split("\n").length);
    scroll();
  }

  function drawGutter(count) {
    const numbers = Array.from({ length: count }, (_, index) => {
      const issue = issues.get(index + 1);
      return issue ? `<b data-kind="${issue.kind}" title="${escape(issue.message)}">${index + 1}</b>` : index + 1;
    });
    gutter.innerHTML = `${numbers.join("\n")}\n\n`;
  }

  function drawMarks() {
    marks.replaceChildren();
    for (const [line, issue] of issues) {
      const mark = marks.appendChild(make("div", ""));
      mark.dataset.kind = issue.kind;
      mark.style.setProperty("--line", line - 1);
    }
  }

  function scroll() {
    gutter.scrollTop = colors.scrollTop = textarea.scrollTop;
    colors.scrollLeft = textarea.scrollLeft;
  }

  function show({ detail }) {
    issues = new Map();
    for (const issue of [...detail.issues].reverse()) {
      if (issues.get(issue.line)?.kind !== "error") issues.set(issue.line, issue);
    }
    drawMarks();
    drawGutter(textarea.value.split("\n").length);
    scroll();
  }

  function go({ detail: { line, column } }) {
    const before = textarea.value.split("\n").slice(0, line - 1);
    const place = before.reduce((sum, text) => sum + text.length + 1, 0) + (column - 1);
    textarea.focus({ preventScroll: true });
    textarea.setSelectionRange(place, place);
    const height = parseFloat(getComputedStyle(textarea).lineHeight);
    textarea.scrollTop = Math.max(0, (line - 1) * height - textarea.clientHeight / 3);
    editor.scrollIntoView({ block: "nearest" });
  }

  textarea.addEventListener("input", () => (frame ||= requestAnimationFrame(draw)));
  textarea.addEventListener("scroll", scroll, { passive: true });
  textarea.addEventListener("keydown", keepIndent);
  textarea.addEventListener("editor:issues", show);
  textarea.addEventListener("editor:go", go);
  draw();
  return () => cancelAnimationFrame(frame);
}

function keepIndent(event) {
  if (event.key !== "Enter" || event.isComposing || event.ctrlKey || event.metaKey) return;
  const textarea = event.target;
  const line = textarea.value.slice(0, textarea.selectionStart).split("\n").at(-1);
  const indent = line.match(/^[ \t]*/)[0] + (/[{<]\s*$/.test(line) ? "  " : "");
  if (!indent) return;
  event.preventDefault();
  document.execCommand("insertText", false, `\n${indent}`); // the one way that keeps undo
}

function make(tag, name) {
  const element = document.createElement(tag);
  element.className = name;
  return element;
}
