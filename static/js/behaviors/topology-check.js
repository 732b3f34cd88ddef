/* The topology editor's form: 150 ms after the last key the server checks the text; its partial replaces
   [data-report-place], and the editor marks the lines. A click on a place goes there. */

import { goOnClick, markIssues } from "../lib/issues.js";
import { request } from "../lib/request.js";

const WAIT_MS = 150;
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
    markIssues(place, editor());
  }

  function editor() {
    return form.elements.prototxt;
  }

  form.addEventListener("input", (event) => {
    if (!SENT.includes(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(check, event.target.name === "view" ? 0 : WAIT_MS);
  });
  goOnClick(place, editor);
  setTimeout(() => markIssues(place, editor()), 100); // once the editor around the textarea is there
  return () => clearTimeout(timer);
}
