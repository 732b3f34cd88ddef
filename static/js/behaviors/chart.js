/* Draws figures and lets them grow while a model trains.
   <div class="chart" data-behavior="chart" data-url="/models/3/chart.json" data-events="/api/v1/models/3/events">
     <div class="chart-panel"> … <div class="chart-plot" data-figure="loss" data-empty="No points yet"></div></div>
   data-url     JSON {figures: {loss: {data, layout}, …}, last_id}; or a child <script type="application/json"> holds it
   data-events  optional server-sent events: `points` {points: [{id, epoch, iteration, name, value}]} extend the trace
                whose `meta` equals the point's name (traces hold x: epochs, y: values, customdata: iterations);
                `state` {status, snapshots, …}: a changed status or number of snapshots loads the figures anew
   data-figure  name of the figure drawn in this element; panels share their epoch axis: zooming one zooms all
   Colours are tokens, e.g. line: {color: "var(--series-1)"}. <input type="checkbox" data-log="loss"> makes y logarithmic;
   an element with [data-chart-state] says when the line is lost. The event "chart:load" {detail: {url}} loads another. */

import { listen } from "../lib/events.js";
import { onThemeChange } from "../lib/colors.js";
import { getJson } from "../lib/request.js";
import { linkAxes, panel } from "../lib/panels.js";

export function connect(element) {
  const panels = new Map(); // figure name → panel
  const plots = [...element.querySelectorAll("[data-figure]")];
  const known = new Set(); // metrics that the figures were asked for
  let stopListening = null;
  let lastState = null;
  let alive = true;

  async function load(url = element.dataset.url) {
    try {
      const { figures, last_id: lastId } = await payload(element, url);
      if (!alive) return;
      for (const plot of plots) {
        const name = plot.dataset.figure;
        if (!panels.has(name)) panels.set(name, panel(plot, isLog(element, name)));
        const figure = figures[name] ?? { data: [], layout: {} };
        figure.data.forEach((trace) => known.add(trace.meta));
        await panels.get(name).show(figure);
      }
      linkAxes([...panels.values()].filter((one) => !("alone" in one.plot.dataset)));
      if (!stopListening && element.dataset.events) follow(lastId);
    } catch (error) {
      say(element, error.message);
    }
  }

  function follow(lastId) {
    stopListening = listen(element.dataset.events, {
      since: lastId ?? 0,
      on: { points: ({ points }) => extend(points), state: onState },
      onOpen: () => say(element, ""),
      onLost: () => say(element, "The line is lost; trying again"),
    });
  }

  function extend(points) {
    for (const one of panels.values()) one.extend(points);
    const strange = points.map((point) => point.name).filter((name) => !known.has(name));
    if (strange.length === 0) return;
    strange.forEach((name) => known.add(name));
    load(); // a metric that the figures did not have yet; asked for once
  }

  function onState(state) {
    const mark = `${state.status} ${Array.isArray(state.snapshots) ? state.snapshots.length : state.snapshots}`;
    if (lastState !== null && mark !== lastState) load();
    lastState = mark;
  }

  element.addEventListener("chart:load", (event) => load(event.detail?.url));
  element.addEventListener("change", (event) => {
    const name = event.target.dataset?.log;
    if (name) panels.get(name)?.setLog(event.target.checked);
  });
  const endTheme = onThemeChange(() => panels.forEach((one) => one.redraw()));
  load();
  return () => {
    alive = false;
    stopListening?.();
    endTheme();
    panels.forEach((one) => one.remove());
  };
}

async function payload(element, url) {
  const inline = element.querySelector('script[type="application/json"]');
  return url ? getJson(url) : JSON.parse(inline.textContent);
}

function isLog(element, name) {
  return element.querySelector(`[data-log="${name}"]`)?.checked ?? false;
}

function say(element, text) {
  const place = element.querySelector("[data-chart-state]");
  if (place) place.textContent = text;
}
