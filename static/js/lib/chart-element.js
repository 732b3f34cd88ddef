/* What a chart reads from its element and tells the page; the drawing is in panels.js. */

import { getJson } from "./request.js";

export async function payload(element) {
  if (element.dataset.url) return getJson(element.dataset.url);
  return JSON.parse(element.querySelector('script[type="application/json"]').textContent);
}

/* How the checkboxes of a panel stand: data-log="loss", data-whole="accuracy"; a panel may change the latter itself. */
export function choices(element, name) {
  const box = (kind) => element.querySelector(`[data-${kind}="${name}"]`);
  return {
    log: box("log")?.checked ?? false,
    whole: box("whole")?.checked ?? false,
    onWhole(on) {
      if (box("whole")?.checked === !on) box("whole").click();
      return box("whole") !== null;
    },
  };
}

export function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

export function say(element, text) {
  const place = element.querySelector("[data-chart-state]");
  if (place) place.textContent = text;
}
