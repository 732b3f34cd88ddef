/* The topology editor's form: 250 ms after the last key the server checks the text; its partial replaces
   [data-report-place], and the editor marks the lines. A click on a place goes there. */

import { request } from "../lib/request.js";

const WAIT_MS = 250;
const SCROLLED = ".table-scroll, .diagram";
const SENT = ["prototxt", "original", "channels", "width", "height", "classes", "batch_size", "view"];

export function connect(form) {
  const place = form.querySelector("[data-report-place]");
  let timer = null;
  let asked = null;

  async function check() {
    asked?.abort();
    asked = new AbortController();
    const body = new URLSearchParams(SENT.map((name) => [name, form.elements[name].value]));
    place.setAttribute("aria-busy", "true");
    try {
      const response = await request(form.dataset.url, { method: "POST", body, signal: asked.signal });
      show(await response.text());
    } catch (error) {
      if (error.name === "AbortError") return; // a later check is under way
      place.textContent = `The text could not be checked: ${error.message}`;
    }
    place.setAttribute("aria-busy", "false");
  }

  function show(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const { scrollTop = 0, scrollLeft = 0 } = place.querySelector(SCROLLED) ?? {};
    place.replaceChildren(template.content);
    place.querySelector(SCROLLED)?.scrollTo(scrollLeft, scrollTop);
    mark();
  }

  function mark() {
    const issues = [...place.querySelectorAll(".issues [data-line]")].map((item) => ({
      line: Number(item.dataset.line),
      kind: item.dataset.kind,
      message: item.querySelector("span").textContent,
    }));
    editor().dispatchEvent(new CustomEvent("editor:issues", { detail: { issues } }));
  }

  function editor() {
    return form.elements.prototxt;
  }

  form.addEventListener("input", (event) => {
    if (!SENT.includes(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(check, event.target.name === "view" ? 0 : WAIT_MS);
  });
  place.addEventListener("click", (event) => {
    const row = event.target.closest(".place, .node")?.closest("[data-line]");
    if (!Number(row?.dataset.line)) return;
    event.preventDefault();
    const detail = { line: Number(row.dataset.line), column: Number(row.dataset.column || 1) };
    editor().dispatchEvent(new CustomEvent("editor:go", { detail }));
  });
  setTimeout(mark, 100); // once the editor around the textarea is there
  return () => clearTimeout(timer);
}
