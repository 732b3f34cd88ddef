/* Asks for the preview of the first batch without leaving the form. Inside: the button that asks, [data-place] where the
   server's answer goes, [data-stale] shown when one of data-fields changes afterwards. */

import { fieldsOf, onFields } from "../lib/fields.js";
import { request } from "../lib/request.js";

export function connect(element) {
  const button = element.querySelector("button");
  const place = element.querySelector("[data-place]");
  const stale = element.querySelector("[data-stale]");

  let asked = "";

  async function ask(event) {
    event.preventDefault();
    button.disabled = true;
    const body = fieldsOf(element);
    asked = body.toString();
    stale.hidden = true;
    try {
      const answer = await request("/first-batches/_ask", { method: "POST", body });
      const template = document.createElement("template");
      template.innerHTML = await answer.text();
      place.replaceChildren(template.content);
    } catch (error) {
      place.textContent = `The first batch could not be asked for: ${error.message}`;
    }
    button.disabled = false;
  }

  button.addEventListener("click", ask);
  return onFields(element, () => {
    stale.hidden = !asked || fieldsOf(element).toString() === asked;
  });
}
