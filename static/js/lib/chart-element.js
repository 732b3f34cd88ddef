/* What a chart reads from its element and tells the page; the drawing is in panels.js. */

import { getJson } from "./request.js";

export async function payload(element) {
  if (element.dataset.url) return getJson(element.dataset.url);
  return JSON.parse(element.querySelector('script[type="application/json"]').textContent);
}

export function isLog(element, name) {
  return element.querySelector(`[data-log="${name}"]`)?.checked ?? false;
}

export function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

export function say(element, text) {
  const place = element.querySelector("[data-chart-state]");
  if (place) place.textContent = text;
}
