/* Keeps a preview beside a form equal to what the server makes of the fields:
     data-url     answers the new inside of this element
     data-fields  names of the fields that it depends on; they are sent along, and changing one asks anew
     data-method  GET (for short values) or POST (the default)
     data-draw    "now" where the page came without a preview, which takes the server longer than the page
   The element lies within the form. An answer that a later one has overtaken is dropped. */

import { fieldsOf, onFields } from "../lib/fields.js";
import { request } from "../lib/request.js";

export function connect(element) {
  const { url, method = "POST" } = element.dataset;
  let asked = 0;

  async function draw() {
    const turn = ++asked;
    const values = fieldsOf(element);
    element.setAttribute("aria-busy", "true");
    try {
      const answer = method === "GET" ? await request(`${url}?${values}`) : await request(url, { method, body: values });
      const html = await answer.text();
      if (turn === asked) show(html);
    } catch {
      /* the form can be sent all the same, and is checked then */
    }
    if (turn === asked) element.removeAttribute("aria-busy");
  }

  function show(html) {
    const scrolled = element.querySelector(".table-scroll")?.scrollTop ?? 0;
    const template = document.createElement("template");
    template.innerHTML = html;
    element.replaceChildren(template.content);
    const table = element.querySelector(".table-scroll");
    if (table) table.scrollTop = scrolled;
  }

  if (element.dataset.draw === "now" && !element.firstElementChild) draw();
  return onFields(element, draw);
}
