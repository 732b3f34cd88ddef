/* With "chart": draws the chart of a form anew, from its data-url with the fields that data-fields names. */

import { fieldsOf, onFields } from "../lib/fields.js";

export function connect(element) {
  const address = element.dataset.url.split("?")[0];
  return onFields(element, () => {
    element.dispatchEvent(new CustomEvent("chart:load", { detail: { url: `${address}?${fieldsOf(element)}` } }));
  });
}
