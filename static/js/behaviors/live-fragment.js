/* Keeps an element equal to the server-rendered partial at data-url.
     data-url     the partial: the new inside of this element
     data-every   seconds between polls (default 2)
     data-on      optional document event (such as live:state, sent by the page's chart) that asks for it at once
     data-events  optional SSE address with a line of its own: every `state` event asks for the partial anew
   A response header X-Live: end (or 204) says that nothing more will change. The focus stays where it was (by id, or by
   name within a form), what was opened stays open, and what was chosen stays chosen; nothing is replaced while the
   person types in it or has a <details class="confirm"> open in it.
   Sends the event "fragment:updated" on the element, and reloads the page when X-Live: reload is answered. */

import { listen } from "../lib/events.js";

export function connect(element) {
  const every = 1000 * Number(element.dataset.every || 2);
  const { on } = element.dataset;
  let timer = null;
  let stopListening = null;
  let ended = false;
  let loading = false;

  async function update() {
    clearTimeout(timer);
    if (ended || loading || document.hidden) return;
    loading = true;
    try {
      const response = await fetch(element.dataset.url, { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
      if (response.redirected || response.status === 401) return end();
      if (response.status === 404 || response.status === 204) return end();
      if (response.ok) show(await response.text());
      const live = response.headers.get("X-Live");
      if (live === "reload") return location.reload();
      if (live === "end") return end();
    } catch {
      /* the server is away; the next round asks again */
    } finally {
      loading = false;
    }
    schedule();
  }

  function show(html) {
    if (isBusy(element)) return;
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const template = document.createElement("template");
    template.innerHTML = html;
    const restore = remembered(element);
    element.replaceChildren(template.content);
    restore();
    refocus(element, focused);
    element.dispatchEvent(new CustomEvent("fragment:updated", { bubbles: true }));
  }

  function schedule() {
    clearTimeout(timer);
    if (!ended && !document.hidden) timer = setTimeout(update, every);
  }

  function end() {
    ended = true;
    clearTimeout(timer);
    stopListening?.();
    document.removeEventListener("visibilitychange", update);
    if (on) document.removeEventListener(on, update);
  }

  if (element.dataset.events) stopListening = listen(element.dataset.events, { on: { state: update } });
  if (on) document.addEventListener(on, update);
  document.addEventListener("visibilitychange", update);
  schedule();
  return end;
}

function isBusy(element) {
  if (element.querySelector("details.confirm[open]")) return true;
  const active = document.activeElement;
  return element.contains(active) && active.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
}

/* What a person has opened or chosen in it; gives what does the same to its new inside. */
function remembered(element) {
  const words = (details) => details.querySelector("summary")?.textContent;
  const opened = new Set([...element.querySelectorAll("details[open]")].map(words));
  const first = (select) => [...select.options].find((option) => option.defaultSelected) ?? select.options[0];
  const chosen = [...element.querySelectorAll("select[id]:not([multiple])")]
    .filter((select) => select.selectedOptions[0] !== first(select))
    .map((select) => [select.id, select.value]);
  return () => {
    for (const details of element.querySelectorAll("details")) if (opened.has(words(details))) details.open = true;
    for (const [id, value] of chosen) {
      const option = element.querySelector(`#${CSS.escape(id)} option[value="${CSS.escape(value)}"]`);
      if (option) option.selected = true;
    }
  };
}

function refocus(element, focused) {
  if (!focused) return;
  const same = focused.id
    ? element.querySelector(`#${CSS.escape(focused.id)}`)
    : [...element.querySelectorAll(focused.tagName)].find((other) => other.textContent === focused.textContent);
  same?.focus({ preventScroll: true });
}
